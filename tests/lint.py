"""Snakemake's linter, with one finding that is meant: no rule names a conda environment or a container.

The workflow's files import the package, so it is installed where Snakemake runs, and jobs run there, too: an
environment of a rule's own would be a second one, which nothing holds to the first.
"""

import re
import subprocess
import sys

MEANT = "Specify a conda environment or container for each rule."


def findings(*options: str) -> list[str]:
    """What the linter finds beside what is meant."""
    done = subprocess.run(["snakemake", "--lint", *options], capture_output=True, text=True, check=False)
    found = re.findall(r"^ +\* (.*?):?$", done.stdout + done.stderr, re.MULTILINE)
    if done.returncode and not found:
        return [done.stdout + done.stderr]
    return [one for one in found if one != MEANT]


if __name__ == "__main__":
    if said := findings(*sys.argv[1:]):
        sys.exit("\n".join(said))
    print("the workflow is in a good condition")
