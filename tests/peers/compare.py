"""Runs `potstill bench` and the peers in turn, several rounds, and prints the ratios of each round's pair.

`compare.py POTSTILL [PUBLISHED_PYTHON]`: the second is a Python with the releases that the paper's code was published
with (torch 2.3.1, gymnasium 1.1.1, numpy 2.0.0, higher 0.2.1), for the PyTorch peer alone.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
ROUNDS = int(os.environ.get("ROUNDS", "3"))


def lines(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def main():
    potstill = sys.argv[1]
    published = sys.argv[2] if len(sys.argv) > 2 else sys.executable
    # The peer, its script with its arguments, the line of `potstill bench`, and the number of threads for both.
    pairs = [
        ("JAX, jitted", ["jax_ppmo.py"], "meta-epoch, 2D k=3, 8 × 512 steps, 16 updates of 1024", 2),
        ("PyTorch, eager, as published", ["torch_ppmo.py"], "meta-epoch, 1D k=2, 10 × 200 steps, 16 updates of 512 (as published)", 1),
        ("EnvPool, one thread", ["envpool_cartpole.py"], "environment steps, 64 copies", 1),
    ]
    for threads in (1, 2):
        for network in ("Nature CNN, {} × 4 × 84 × 84", "IMPALA, {} × 3 × 64 × 64"):
            rows = ["outer update, k=6, " + network.format(256), "direct PPO update, " + network.format(256)]
            if threads == 1:
                rows += ["acting, " + network.format(rows) for rows in (8, 32, 128)]
            for own in rows:
                script = ["torch_pictures.py", "--threads", str(threads), "--only", own]
                pairs.append((f"PyTorch, {own}, threads: {threads}", script, own, threads))
    print("| Peer | its time | Potstill | times faster |\n|---|---|---|---|")
    for name, script, own, threads in pairs:
        theirs, ours = [], []
        for _ in range(ROUNDS):
            python = published if script[0] == "torch_ppmo.py" else sys.executable
            peer = lines([python, str(HERE / script[0]), *script[1:]])
            if peer is None:
                break
            bench = lines([potstill, "bench", "--json", "--threads", str(threads), "--only", own])
            peer = peer[0] if isinstance(peer, list) else peer
            theirs.append(peer["seconds"])
            ours.append(next(row["seconds"] for row in bench if row["name"] == own))
        if not theirs:
            print(f"| {name} | not installed | | |")
            continue
        ratios = [t / o for t, o in zip(theirs, ours)]
        milliseconds = lambda values: f"{statistics.median(values) * 1e3:.3g} ms"
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        print(f"| {name} | {milliseconds(theirs)} | {milliseconds(ours)} | {spread} |", flush=True)


if __name__ == "__main__":
    main()
