"""The ledger of an output: JSON objects beside the mask tables that say what is done, and what failed and why.

    _ledger/<video_id>.json       the tracks of one video that have ended
    _ledger/runs/<run_id>.json    one run: its configuration, progress and heartbeat
    _ledger/lease/<number>.json   the run that may write to the output
    _work/<fingerprint>/          checkpoints of a track that has not ended
    _states/<video_id>/           what later runs need of tracks that have ended

The run that holds the lease writes them; anybody may read them at any time.

    schema.py        the values and their JSON
    store.py         where they lie; reading, listing, writing
    lease.py         one writer per output, kept by heartbeats
    writer.py        what a run has decided, on its way to storage
    checkpoints.py   saved work of unfinished tracks
    kept_states.py   boundary states and kept memories of finished tracks
    status.py        what an output's ledger says as a whole, and how a run ended
"""
