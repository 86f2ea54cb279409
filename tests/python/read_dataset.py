"""Reads a distilled dataset: `python read_dataset.py dataset.safetensors` (needs `safetensors` and `numpy`)."""
import json, sys
from safetensors import safe_open
with safe_open(sys.argv[1], framework="numpy") as file:
    x, y, inner_lr = (file.get_tensor(name) for name in ("x", "y", "inner_lr"))
    print(f"k = {len(x)}, x {x.shape}, y {y.shape}, η = {inner_lr:.4g}")
    print(json.dumps(json.loads(file.metadata()["potstill"]), indent=2))
