"""Effects: replicas that follow, pools that hold them, the driver that obeys the scheduler, the ledger."""
