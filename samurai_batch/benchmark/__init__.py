"""How fast this machine follows objects, and what that is compared with: `samurai-batch bench`.

Where a frame's time goes
-------------------------
A frame costs E to encode and M for each track on it. Numbers are of one thread of an AMD EPYC (Zen 5, AVX-512) under
PyTorch 2.13, by `torch.profiler` and by counting operations; `samurai-batch bench` says E, M and shares of any machine.

*SAM 2.1 tiny at 1024*, one track, memory full. The work is 260 GFLOP to encode (linear layers 174, the three
global attentions 77, windows 5) and 404 to follow: four layers of memory attention of 101 each (scores of 4,096
queries against 28,736 keys 60, values 15, self-attention 17, MLP 9). Values keep the memories' 64 channels and are
projected afterwards, which is the same by algebra; as the checkpoints write it, a layer takes 146. In float32, oneDNN
multiplies at 230 GFLOP/s here, MKL at 100; in bfloat16, oneDNN at 480.

    float32    2.1 s to encode, 3.0 s to follow      one layer's cross-attention 0.44 s = 153 GFLOP/s
    bfloat16   1.15 s to encode, 1.85 s to follow    one layer's cross-attention 0.24 s = 310 GFLOP/s

What bounds it: the two products of cross-attention are two thirds of following, and run at two thirds of the rate of a
large square product. The softmax between them, which no matrix unit does, is a quarter: 2.3 G scores/s. Turning the
keys of all memories anew on each frame is 3 %, and keeping them would take 470 MB for 8 tracks. Fresh allocations over
32 MB cost a page fault for each page, 0.25 ms a megabyte, hence blocks and strips that stay in the cache.

*nano at 256*: E = 20 ms for 2.4 GFLOP, half of the rate of large products; M = 16 ms for 1.0 GFLOP with one track, a
quarter of that rate, and 9 ms with 16 tracks, 44 % of it.

    encode    linear layers 46 %, attention 20 %, copies 8 %, gelu 6 %, layer norms 5 %, sums 4 %     1,600 calls
    follow    linear layers 40 %, sums 11 %, convolutions 8 %, attention 7 %, copies 7 %, softmax 6 %    2,400 calls

What bounds it: products are two thirds of encoding and half of following, and too small to run at the rate of large
ones; the rest only moves numbers between them. Following 8 tracks takes 3,100 calls of PyTorch, not 8 × 2,400.

*Around the network*, at the video's own size rather than the model's: decoding 2 ms a frame of 640x360 and 7 to 11 of
1920x1080, scaling 1 to 2, masks out of logits and their run lengths 1.5 and 8 for each track. All of it runs beside the
network in threads of its own (`samurai_batch.pipeline`), and so does writing (`runtime.replica`): with 8 tracks of nano
at 1920x1080, 10.6 frames/s instead of 6.7. That takes a core that is free: with two threads for the network on two
cores, each of its operations waits for the thread that was put aside (1 track at 640x360: 30 frames/s with nothing
beside it, 21 with; one thread: 26 both ways). So the network gets one thread less than there are cores
(`runtime.assembly.network_threads`), and many cores are put to use by several replicas.
"""
