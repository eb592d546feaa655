"""A meter for the engine's GPU path that needs no GPU: kernels, FLOPs, bytes, copies and waits by phase.

`fake_cuda` lets the back end run on CUDA tensors that have a shape and no contents, `counting` counts what it
does to them, `workload` runs the passes of a job at Vintern-1B's size.
"""
