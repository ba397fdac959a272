"""``python -m benchmarks NAME ...`` completes claims by name; without any it lists them."""

import argparse
import subprocess
import sys

from benchmarks.claims import listed


def main():
    claims = {claim.name: claim for claim in listed()}
    parser = argparse.ArgumentParser("python -m benchmarks", description="Completes claims, or lists them.")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--only", nargs="+", default=[], metavar="METHOD", help="of tabular or uci_regression")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in claims]
    if unknown:
        parser.error(f"no claim is called {', '.join(unknown)}: {', '.join(claims)}")
    if given.only and len(given.names) != 1:
        parser.error("--only goes with one NAME")
    if not given.names:
        print(*claims, sep="\n")
    elif len(given.names) == 1:
        claims[given.names[0]].complete(*given.only)
    else:
        # each in a process of its own: threads and workers of one are not for the next
        for name in given.names:
            if code := subprocess.call([sys.executable, "-m", "benchmarks", name]):
                sys.exit(code)


if __name__ == "__main__":
    main()
