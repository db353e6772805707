#!/usr/bin/env python3
"""Copy a model from Hugging Face to ModelScope: SOURCE TARGET [TOKEN]; see --help.

python scripts/simple_hf_to_ms.py microsoft/DialoGPT-medium your-org/DialoGPT-medium
"""

try:
    from hubferry.guide.edge import run_script
    from hubferry.guide.transfer import simple
except ModuleNotFoundError as missing:
    from _find_hubferry import start_again

    start_again(missing)

if __name__ == "__main__":
    run_script(simple)
