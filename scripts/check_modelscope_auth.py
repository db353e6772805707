#!/usr/bin/env python3
"""Show whether you are logged in to ModelScope, and as whom; see --help.

python scripts/check_modelscope_auth.py your-org
"""

try:
    from hubferry.guide.auth import check_auth
    from hubferry.guide.edge import run_script
except ModuleNotFoundError as missing:
    from _find_hubferry import start_again

    start_again(missing)

if __name__ == "__main__":
    run_script(check_auth)
