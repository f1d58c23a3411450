# SPDX-License-Identifier: MIT
"""Only `./dev check --long` runs these tests: it names the program of open-webui in OPEN_WEBUI. `./dev test` does not see them."""
import os

collect_ignore_glob = [] if os.environ.get("OPEN_WEBUI") else ["test_*.py"]
