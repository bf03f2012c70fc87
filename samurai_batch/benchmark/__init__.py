"""Measures how fast this machine tracks objects, and the baselines to compare with: `samurai-batch bench`.

Where the time of a frame goes
------------------------------
A frame costs E to encode and M for each track. Numbers are of one thread of an AMD EPYC (Zen 5, AVX-512) with PyTorch
2.13, in CPU seconds by `torch.profiler`, and in counted operations; `samurai-batch bench` measures E, M and their share
of the matmul rate on any machine.

*SAM 2.1 tiny at 1024*, one track, full memory bank. Encoding takes 260 GFLOP (linear layers 174, the three global
attentions 77, windowed attention 5), propagating 404: four layers of memory attention of 101 each (scores of 4,096
queries and 28,736 keys 60, values 15, self-attention 17, MLP 9). Values keep the 64 channels of the memories and are
projected after the attention, which is algebraically the same; as the checkpoints define it, a layer takes 146. In
float32, oneDNN multiplies at 230 GFLOP/s here, MKL at 100; in bfloat16, oneDNN at 480.

    float32    1.7 s to encode, 2.6 s to propagate     one layer's cross-attention 0.47 s = 160 GFLOP/s
    bfloat16   0.96 s to encode, 1.41 s to propagate   one layer's cross-attention 0.24 s = 310 GFLOP/s

In bfloat16 the seconds of a step are: cross-attention 0.96, self-attention 0.20, MLP 0.11, decoder 0.05, memory encoder
0.05. The bottleneck is the two products of cross-attention. In tiles of 1,024 queries and keys, which fit in the cache,
scores take 65 % of the time, exponentials 17 %, values 15 %, sums 3 %. Rotating queries, and the keys of all memories
again on each frame, takes up to 9 % of a step; caching the rotated keys would take 470 MB for 8 tracks.

Tried and rejected: since a memory has 64 channels, the part of a score that depends on the row of its key can be
computed from 64 products instead of 128, for all keys of a row together. This is exact and saves a fifth of the
products of scores, but only 2 to 10 % of the time, because 65 tiles of 448 keys run slower. New allocations over 32 MB
cost a page fault per page, 0.25 ms per megabyte; hence blocks, strips, and tracks one after the other. Two fifths of
encoding are the three global attentions and their MLPs.

oneDNN is called by an operator that PyTorch marks as private (`modeling.kernels`). Without it, encoding takes 1.68
times as long in bfloat16, and a frame of nano 1.23 times in float32 (1.03 in bfloat16), so we use it.

*Without AVX-512* (AMD EPYC, Zen 3, AVX2, one thread, float32, CPU seconds, with much other work on the machine): the
same network runs at 75 to 90 GFLOP/s with any of MKL, oneDNN and OpenBLAS, which is 90 % of what MKL reaches with
1,536³; only fewer products help. Propagating takes 5.6 s instead of the 7.8 of plain PyTorch (fused attention, values
projected first), encoding 0.93 times as long: a frame of one track is 1.2 to 1.3 times as fast.

    scores of 4,096 queries and 28,736 keys     four layers: 182 GFLOP instead of 240 with keys by row, 2.3 s
    their values                                60 GFLOP, 0.8 s; exponentials 0.3 s, sums 0.1 s
    self-attention, MLP, projections            0.9 + 0.5 + 0.2 s

Gains there: exponentials of base two, in tiles, 59 -> 77 GFLOP/s of cross-attention; keys by row 7 % of propagating;
fused attention instead of blocks 16 % of the trunk's global attention; `F.linear` of contiguous rows, 49 -> 83 GFLOP/s
where windows are partitioned. Tried and rejected: windows by batched products (1.1 to 1.6 times as long as fused
attention), a softmax in blocks (1.2 times), strips of fewer rows. bfloat16, multiplied in float32, takes 1.16 times as
long as float32 to encode with nano; with PyTorch's own loops over bfloat16 7.6 times.

*With Intel's AVX-512* the same tiles and fused attention take 19 % less CPU time per frame in float32 than a softmax in
blocks: 2.75 s of one thread instead of 3.23 to encode, 3.00 instead of 3.89 to propagate one track.

Pooled memories (`pool_memories`): a step of one track takes 0.69 s instead of 1.4 in bfloat16, a frame 1.65 instead of
2.4. The cost with an earlier nano, not trained with them: J&F of 0.261 instead of 0.351 on eight sequences of DAVIS.

`torch.compile` (`compile: true`) compiles the encoder without strips, blocks and that operator, and makes it slower
here: E is 1.7 times as long for SAM 2.1 tiny in bfloat16 and for nano in float32, whose products go to MKL, and 0.9
times for nano in bfloat16 (measured in turns, in CPU seconds, with other work on the machine). Compiling took 65 s
(tiny) and 30 to 55 s (nano). It is meant for GPUs, where it is untested.

*nano*: E = 18 ms for 2.5 GFLOP, 57 % of the rate of large products; M = 13 ms for 1.0 GFLOP with one track, 29 % of
that rate, and 8 ms with 8 tracks, 43 % of it.

    encode     linear layers 46 %, attention 20 %, copies 8 %, gelu 6 %, layer norms 5 %, sums 4 %     1,600 calls
    propagate  linear layers 40 %, sums 11 %, convolutions 8 %, attention 7 %, copies 7 %, softmax 6 %    2,400 calls

Two or four frames encoded together (`frames_per_batch`) take 3 to 10 % less each.

By default, glibc returns the memory of a frame and requests it again page by page: 2,300 page faults per frame in the
bare loop and 4,400 in a job, whose threads have their own heaps; that is 3 and 7.5 ms of one core in float32.
`modeling.process` makes glibc keep the memory: 0.1 and 0.4 ms.

The bottleneck: products are two thirds of encoding and half of propagating, and too small to run at the rate of large
ones; the rest moves numbers between them. Propagating 8 tracks takes 3,100 calls of PyTorch, not 8 × 2,400.

*Outside the network*, at the video's size rather than the model's: decoding takes 2 ms per frame of 640x360 and 7 to 11
of 1920x1080, scaling 1 to 2, run lengths of masks 1.5 and 4 per track (8 by pixels). All of it runs in threads
beside the network (`samurai_batch.pipeline`), and so does writing (`runtime.replica`): 10.6 instead of 6.7 frames/s
with 8 tracks of nano at 1920x1080. This needs a free core: with two threads for the network on two cores, each of its
operations waits for the thread that was preempted (1 track at 640x360: 30 frames/s alone, 21 beside that work; one
thread: 26 in both cases). So the network gets one thread less than there are cores
(`runtime.assembly.network_threads`), and many cores are used by several replicas.

Where replicas use every core, their threads preempt each other's networks. So a replica whose CPUs are all given to the
network (`threads_per_replica`, as here) does everything but writing in turn: two of one thread on two cores take 40.9
ms per frame with 1 track instead of 42.1, and one alone 39.4 instead of the 37.9 that it takes with the second core's
help. FFmpeg converts frames to RGB with one thread: by default it takes one per core, and waits for the slowest.

*Two replicas of one thread on two cores* are 1.9 times as fast as one. A twentieth is lost to the cache that the cores
share (two bare loops at once: 1.91 and 1.93), to Ray's processes (5 % of one core, which one replica leaves free), to
the first chunk, for which kernels are created (0.1 to 0.2 s), and to the end, where one replica waits for the other.
"""
