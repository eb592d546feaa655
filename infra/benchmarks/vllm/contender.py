"""vLLM beside the engine: `engine.py` starts this with the Python of an environment that has vLLM.

Called with the checkpoint's directory and the number of requests together. Each line of standard input
names a file of pages (numpy, uint8 [pages, tiles, 448, 448, 3]) with the tokens of their prompt and their
schema; each answer is a line of JSON with the seconds, the CPU seconds and the tokens.

A page is given as one column of its tiles, which the model's own processor cuts into the same tiles again;
the thumbnail that it puts behind them is another picture than ours, and costs the same.
"""

import json
import os
import sys
import time

import numpy as np
from PIL import Image


def main(directory, batch):
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # so that the CPU seconds are those of this process
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # vLLM writes its log there
    from vllm import LLM, SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    llm = LLM(
        directory,
        dtype="bfloat16",
        max_model_len=4096,
        max_num_seqs=batch,
        limit_mm_per_prompt={"image": 1, "video": 0},
        enable_prefix_caching=False,
        mm_processor_cache_gb=0,
        structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
        disable_log_stats=True,
    )
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        work = json.loads(line)
        pages = np.load(work["pages"])
        columns = [Image.fromarray(page[:-1].reshape(-1, 448, 3)) for page in pages]
        sampling = SamplingParams(
            temperature=0,
            max_tokens=work["tokens"],
            structured_outputs=StructuredOutputsParams(json=work["schema"]),
        )
        began, spent = time.perf_counter(), time.process_time()
        found = llm.generate(
            [
                {
                    "prompt_token_ids": work["prompt"],
                    "multi_modal_data": {"image": column},
                    "mm_processor_kwargs": {"min_patches": len(page) - 1, "max_patches": len(page) - 1},
                }
                for page, column in zip(pages, columns, strict=True)
            ],
            sampling,
            use_tqdm=False,
        )
        figures = {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - spent,
            "tokens": sum(len(one.outputs[0].token_ids) for one in found),
            "prompt_tokens": sum(len(one.prompt_token_ids) for one in found),
        }
        print(json.dumps(figures), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
