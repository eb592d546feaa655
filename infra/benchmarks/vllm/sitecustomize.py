"""Python runs this in each process that vLLM starts while this folder is on PYTHONPATH.

The torchvision that comes with vLLM's CPU build is one for GPUs, whose operators do not load. When imported
it wants these two declared; nothing here calls them.
"""

import torch

library = torch.library.Library("torchvision", "FRAGMENT")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
