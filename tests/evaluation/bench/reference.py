"""Makes reference.json: the measures of fixed cases as their reference implementations compute them.

Run by hand, in an environment of its own that nothing else needs (pycocoevalcap is 100 MB):

    pip install anls==0.0.2 numpy scikit-learn scipy statsmodels
    pip install --no-deps pycocoevalcap==1.2
    pip download --no-deps transformers==4.46.3        # its wheel has SQuAD's script
    python tests/evaluation/bench/reference.py WHEEL > tests/evaluation/bench/reference.json

BLEU, ROUGE-L and CIDEr are pycocoevalcap's, EM and F1 those of SQuAD 2.0 as transformers 4 carried them,
ANLS that of the package anls, kappa scikit-learn's, Spearman SciPy's, McNemar's test that of statsmodels.
The sentences are our own.
"""

# ruff: noqa: T201

from __future__ import annotations

import contextlib
import io
import json
import sys
import zipfile
from importlib import metadata
from typing import Any

SENTENCES = [
    ["biển hiệu màu xanh lá cây", ["màu xanh lá cây", "biển hiệu có màu xanh lá cây"]],
    ["cửa hàng bán bánh mì", ["cửa hàng bán bánh mì và cà phê"]],
    ["có ba người đang ngồi uống cà phê ở vỉa hè", ["có ba người ngồi uống cà phê trên vỉa hè", "ba người"]],
    ["số 25 đường lê lợi", ["số 52 đường lê lợi"]],
    ["không có", ["người đàn ông đội mũ bảo hiểm màu đỏ"]],
    ["người đàn ông đội mũ bảo hiểm màu đỏ", ["người đàn ông đội mũ bảo hiểm màu đỏ"]],
    ["ở bên trái của chiếc xe máy", ["bên phải chiếc xe máy", "nó ở bên phải của chiếc xe máy màu đen"]],
    ["giá là 20 000 đồng một ký", ["20 000 đồng", "giá 20 000 đồng một ký"]],
    ["phở phở phở bò bò", ["phở bò", "tiệm phở bò nam định"]],
    ["", ["thứ hai đến thứ sáu"]],
]
SHORT = [
    ["phở bò", ["phở bò"]],
    ["ba", ["bốn"]],
    ["màu đỏ", ["đỏ", "màu đỏ"]],
    ["nhà số 7", ["số 7"]],
]
MARKS = [
    ([8, 9, 3, 0, 10, 7, 7, 5, 2, 9, 6, 8], [7, 9, 4, 0, 10, 7, 5, 5, 3, 8, 6, 9]),
    ([1, 1, 2, 3, 5, 8], [1, 2, 2, 3, 5, 7]),
]
DISCORDANT = [(3, 9), (0, 6), (5, 5), (1, 1), (12, 2)]


def coco(cases: list[Any]) -> dict[str, Any]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    said = {number: [one] for number, (one, _) in enumerate(cases)}
    true = {number: several for number, (_, several) in enumerate(cases)}
    with contextlib.redirect_stdout(io.StringIO()):
        bleu, _ = Bleu(4).compute_score(true, said)
        _, rouge = Rouge().compute_score(true, said)
        _, cider = Cider().compute_score(true, said)
    return {"bleu": [float(b) for b in bleu], "rouge_l": rouge.tolist(), "cider": cider.tolist()}


def squad(cases: list[Any], wheel: str) -> dict[str, Any]:
    import collections
    import re
    import string

    with zipfile.ZipFile(wheel) as held:
        text = held.read("transformers/data/metrics/squad_metrics.py").decode()
    here: dict[str, Any] = {"collections": collections, "re": re, "string": string}
    start = text.index("def normalize_answer")
    exec(text[start : text.index("def get_raw_scores")], here)
    return {
        "exact": [float(max(here["compute_exact"](a, said) for a in true)) for said, true in cases],
        "f1": [float(max(here["compute_f1"](a, said) for a in true)) for said, true in cases],
    }


def anls(cases: list[Any]) -> list[float]:
    from anls import anls_score

    return [float(anls_score(prediction=said, gold_labels=true, threshold=0.5)) for said, true in cases]


def agreement() -> list[dict[str, Any]]:
    from scipy.stats import spearmanr
    from sklearn.metrics import cohen_kappa_score

    return [
        {
            "marks": [one, other],
            "kappa": cohen_kappa_score(one, other, labels=range(11)),
            "quadratic": cohen_kappa_score(one, other, labels=range(11), weights="quadratic"),
            "spearman": spearmanr(one, other).statistic,
        }
        for one, other in MARKS
    ]


def mcnemar() -> list[list[float]]:
    from statsmodels.stats.contingency_tables import mcnemar as test

    return [[b, c, float(test([[40, b], [c, 7]], exact=True).pvalue)] for b, c in DISCORDANT]


def main(wheel: str) -> None:
    versions = ("pycocoevalcap", "anls", "scikit-learn", "scipy", "statsmodels")
    sets = [
        {"cases": cases, **coco(cases), **squad(cases, wheel), "anls": anls(cases)}
        for cases in (SENTENCES, SHORT)
    ]
    made_by = {name: metadata.version(name) for name in versions} | {"squad": wheel.rpartition("/")[2]}
    found = {"made_by": made_by, "sets": sets, "agreement": agreement(), "mcnemar": mcnemar()}
    print(json.dumps(found, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
