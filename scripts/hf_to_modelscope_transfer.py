#!/usr/bin/env python3
"""Copy a model from Hugging Face to ModelScope; see --help.

    python scripts/hf_to_modelscope_transfer.py \
        --hf-model microsoft/DialoGPT-medium --ms-model your-org/DialoGPT-medium
"""

try:
    from hubferry.guide.edge import run_script
    from hubferry.guide.transfer import transfer
except ModuleNotFoundError as missing:
    from _find_hubferry import start_again

    start_again(missing)

if __name__ == "__main__":
    run_script(transfer)
