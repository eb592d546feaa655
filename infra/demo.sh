#!/usr/bin/env bash
# The main job on the embedded default: specimens in a folder → a local Ray → SQLite → a table beside the truth.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" VINBATCH_STORE=sqlite:///.demo/vinbatch.db
run() { printf '\n$ %s\n' "$*"; "$@"; }

mkdir -p .demo
run vinbatch specimens --out .demo/cards --count 6 --kind id_card --seed 2026
run vinbatch run .demo/cards --schema id_card@1 --model demo --job demo-cards
run vinbatch specimens --out .demo/receipts --count 4 --kind receipt --seed 2026
run vinbatch run .demo/receipts --schema receipt@1 --model demo --job demo-receipts
# An e-invoice's XML is read exactly and its signature verified: no model is asked, and no Ray is started.
run vinbatch specimens --out .demo/invoices --count 3 --kind invoice --xml --seed 2026
run vinbatch run .demo/invoices --include '*.xml' --schema invoice@1 --model demo \
  --trust-anchors .demo/invoices/.trust-anchors --job demo-invoices

run vinbatch eval --job demo-cards --truth .demo/cards/truth.jsonl --show 6
run vinbatch eval --job demo-receipts --truth .demo/receipts/truth.jsonl --show 4
run vinbatch query "SELECT number, full_name, date_of_birth, expiry, state FROM id_card_v1"
run vinbatch query "SELECT number, issue_date, seller_name, total, signature, state FROM invoice_v1"

cat <<'NEXT'

The documents are specimens, the model is the small demo model that ships with the repository. It reads invoices, too, if
they have one page and up to five lines (vinbatch specimens --kind invoice --lines 5); their XML needs no model.
Your own documents, with the published model:

    export PATH="$PWD/.venv/bin:$PATH"
    vinbatch run s3://your-bucket/invoices/ --schema invoice@1 --model 5CD-AI/Vintern-1B-v3_5

NEXT
