"""The command line: `cortex train | predict | verify | info`.

| module | what it has |
|---|---|
| `app` | the commands and their options |
| `config` | what a run is described by: one schema for `train FILE.json` and a run's own config.json |
| `data` | data sets by name or path, held against a network before anything is computed |
| `folder` | run directories: claimed, filled, cleaned up |
| `settings` | from options and config to a run in which everything is checked |
| `train`, `predict`, `verify` | what the commands do |
| `results` | what came of a run: data, table, curves, exit code |
| `show` | lines and tables |
| `errors` | one message and an exit code in place of a traceback |

Exit codes: 0 done; 1 the run ended without its aim (a check failed, the target was missed, the loss
is not finite); 2 bad input; 130 interrupted. Results go to standard output, everything else to
standard error.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line with the arguments of this process, and exit."""
    from cortex.cli.app import app

    app(prog_name="cortex")
