"""How fast this machine follows objects, and what that is compared with: `samurai-batch bench`.

Where a frame's time goes
-------------------------
A frame costs E to encode and M for each track on it. Numbers are of one thread of an AMD EPYC (Zen 5, AVX-512) under
PyTorch 2.13, by `torch.profiler`, in CPU seconds and by counting operations; `samurai-batch bench` says E, M and shares
of any machine.

*SAM 2.1 tiny at 1024*, one track, memory full. The work is 260 GFLOP to encode (linear layers 174, the three
global attentions 77, windows 5) and 404 to follow: four layers of memory attention of 101 each (scores of 4,096
queries against 28,736 keys 60, values 15, self-attention 17, MLP 9). Values keep the memories' 64 channels and are
projected afterwards, which is the same by algebra; as the checkpoints write it, a layer takes 146. In float32, oneDNN
multiplies at 230 GFLOP/s here, MKL at 100; in bfloat16, oneDNN at 480.

    float32    1.7 s to encode, 2.6 s to follow     one layer's cross-attention 0.47 s = 160 GFLOP/s
    bfloat16   0.96 s to encode, 1.41 s to follow   one layer's cross-attention 0.24 s = 310 GFLOP/s

In bfloat16, a step's seconds are: cross-attention 0.96, self-attention 0.20, MLP 0.11, decoder 0.05, memory encoder
0.05. What bounds it: the two products of cross-attention. For tiles of 1,024 queries and keys, which stay in the cache,
scores take 65 % of the time, exponentials 17 %, values 15 %, sums 3 %. Turning queries, and the keys of all memories
anew on each frame, is up to 9 % of a step, and keeping the keys would take 470 MB for 8 tracks.

Tried and left out: as a memory has 64 channels, the half of a score that depends on the row of its key can be had from
64 products instead of 128, for all keys of one row together. That is exact and saves a fifth of the products of scores,
but only 2 to 10 % of the time, as 65 tiles of 448 keys run slower. Fresh allocations over 32 MB cost a page fault for
each page, 0.25 ms a megabyte, hence blocks, strips, and tracks one after the other. Of encoding, the three global
attentions and their MLPs are two fifths.

oneDNN is reached by an operator that PyTorch calls private (`modeling.kernels`). Without it, encoding takes 1.68 times
as long in bfloat16, and a frame of nano 1.23 times in float32 (1.03 in bfloat16): it stays.

*Without AVX-512* (AMD EPYC, Zen 3, AVX2, one thread, float32, CPU seconds with much other work beside it): the same
network, by products of 75 to 90 GFLOP/s, by whichever of MKL, oneDNN and OpenBLAS: 90 % of what MKL does with 1,536³,
so that only fewer products help. Following takes 5.6 s instead of the 7.8 of plain PyTorch (fused attention, values
projected first), encoding 0.93 times as long: a frame of one track is 1.2 to 1.3 times as fast.

    scores of 4,096 queries and 28,736 keys     four layers: 182 GFLOP of 240, as keys are met by row, 2.3 s
    their values                                60 GFLOP, 0.8 s; exponentials 0.3 s, sums 0.1 s
    self-attention, MLP, projections            0.9 + 0.5 + 0.2 s

What was gained there: exponentials of two, in tiles, 59 -> 77 GFLOP/s of cross-attention; keys by row 7 % of following;
fused attention instead of blocks 16 % of the trunk's global attention; `F.linear` of contiguous rows, 49 -> 83 GFLOP/s
where windows are cut. Tried and left out: windows by batched products (1.1 to 1.6 times as long as fused attention),
a softmax in blocks (1.2 times), strips of fewer rows. bfloat16, multiplied in float32, takes 1.16 times as long as
float32 to encode by nano; by PyTorch's own loops over bfloat16 7.6 times.

With AVX-512 by Intel the same attention takes 19 % less CPU time of a frame in float32 than a softmax in blocks: to
encode 2.75 s of one thread instead of 3.23, to propagate one track 3.00 instead of 3.89.

Pooled memories (`pool_memories`): a step of one track 0.69 s instead of 1.4 in bfloat16, a frame 1.65 instead of 2.4.
The price with an earlier nano, not trained with them: J&F of 0.261 instead of 0.351 on eight sequences of DAVIS.

`torch.compile` (`compile: true`) gets the encoder without strips, blocks and that operator, and makes slower code of it
here: E is 1.7 times as long of SAM 2.1 tiny in bfloat16 and of nano in float32, whose products go to MKL, and 0.9 times
of nano in bfloat16; measured in turns, in CPU seconds, with other work beside it. Compiling took 65 s (tiny) and 30 to
55 s (nano). It is meant for GPUs, where it is untested.

*nano*: E = 18 ms for 2.5 GFLOP, 57 % of the rate of large products; M = 13 ms for 1.0 GFLOP with one track, 29 % of
that rate, and 8 ms with 8 tracks, 43 % of it.

    encode    linear layers 46 %, attention 20 %, copies 8 %, gelu 6 %, layer norms 5 %, sums 4 %     1,600 calls
    follow    linear layers 40 %, sums 11 %, convolutions 8 %, attention 7 %, copies 7 %, softmax 6 %    2,400 calls

Two or four frames encoded together (`frames_per_batch`) take 3 to 10 % less each.

Left alone, glibc gives the memory of a frame back and takes it again page by page: 2,300 faults a frame in the bare
loop and 4,400 in a job, whose threads have heaps of their own, 3 and 7.5 ms of one core in float32. `modeling.process`
keeps it: 0.1 and 0.4 ms.

What bounds it: products are two thirds of encoding and half of following, and too small to run at the rate of large
ones; the rest only moves numbers between them. Following 8 tracks takes 3,100 calls of PyTorch, not 8 × 2,400.

*Around the network*, at the video's own size rather than the model's: decoding 2 ms a frame of 640x360 and 7 to 11 of
1920x1080, scaling 1 to 2, masks out of logits and their run lengths 1.5 and 8 for each track. All of it runs beside the
network in threads of its own (`samurai_batch.pipeline`), and so does writing (`runtime.replica`): with 8 tracks of nano
at 1920x1080, 10.6 frames/s instead of 6.7. That takes a core that is free: with two threads for the network on two
cores, each of its operations waits for the thread that was put aside (1 track at 640x360: 30 frames/s with nothing
beside it, 21 with; one thread: 26 both ways). So the network gets one thread less than there are cores
(`runtime.assembly.network_threads`), and many cores are put to use by several replicas.

Where replicas hold every core, their threads put each other's networks aside. So a replica whose CPUs are given to the
network, all of them (`threads_per_replica`, as here), does everything but writing in turn: two of one thread on two
cores take 40.9 ms a frame with 1 track instead of 42.1, and one alone 39.4 instead of the 37.9 that it takes with the
second core's help. FFmpeg is told to turn frames into RGB with one thread: it takes one for each core otherwise, and
waits for the slowest.

*Two replicas of one thread on two cores* are 1.9 times as fast as one. A twentieth goes to the cache that the cores
share (two bare loops at once: 1.91 and 1.93), to Ray's own processes (5 % of one core, which one replica leaves free),
to the first chunk, for which kernels are made (0.1 to 0.2 s), and to the end, where one replica waits for the other.
"""
