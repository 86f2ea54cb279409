"""Checks that the installed Gymnasium still plays the recorded episodes.

    python tests/python/check_cartpole.py

Records anew and compares everything but the release's number. Exits with 1 at the first difference.
"""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


def main():
    recorded = json.loads((HERE.parent / "fixtures" / "cartpole-v1.json").read_text())
    command = [sys.executable, str(HERE / "record_cartpole.py")]
    fresh = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    releases = f"recorded with gymnasium {recorded['gymnasium']}, installed {fresh['gymnasium']}"
    if len(fresh["episodes"]) != len(recorded["episodes"]):
        sys.exit(f"{len(fresh['episodes'])} episodes, recorded {len(recorded['episodes'])} ({releases})")
    for old, new in zip(recorded["episodes"], fresh["episodes"]):
        for key in old:
            if old[key] != new[key]:
                sys.exit(f"the episode of seed {old['seed']} differs in `{key}` ({releases})")
    print(f"{len(recorded['episodes'])} episodes are equal ({releases})")


if __name__ == "__main__":
    main()
