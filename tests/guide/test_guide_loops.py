"""The guide's own commands and loops, as they are written there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.guide.world import Bash, add_model, copied

from hubferry.lab.server import Lab

BIG = "microsoft/DialoGPT-medium"
SMALL = "microsoft/DialoGPT-small"
MODELS = f"{SMALL} your-org/DialoGPT-small\n{BIG} your-org/DialoGPT-medium\n"

CONDITIONAL = r"""#!/bin/bash
MODEL_LIST="models.txt"
MIN_SIZE_MB=100  # 只迁移大于100MB的模型

while read hf_model ms_model; do
    # 先验证模型大小
    if python scripts/hf_to_modelscope_transfer.py \
       --hf-model "$hf_model" \
       --ms-model "$ms_model" \
       --verify-only | grep -q "总大小.*[0-9][0-9][0-9]\+"; then
        echo "✅ 模型足够大，开始迁移: $hf_model"
        python scripts/simple_hf_to_ms.py "$hf_model" "$ms_model"
    else
        echo "⏭️  跳过小模型: $hf_model"
    fi
done < "$MODEL_LIST"
"""

INCREMENTAL = """
import requests
import sys

def check_ms_model_exists(model_name):
    url = f"https://modelscope.cn/api/v1/models/{model_name}"
    response = requests.get(url)
    return response.status_code == 200

def main():
    with open('models.txt', 'r') as f:
        for line in f:
            if line.strip() and not line.startswith('#'):
                hf_model, ms_model = line.strip().split()
                if not check_ms_model_exists(ms_model):
                    print(f"🆕 新模型，开始迁移: {hf_model}")
                    # 执行迁移...
                else:
                    print(f"✅ 模型已存在，跳过: {ms_model}")

if __name__ == "__main__":
    main()
"""

PARALLEL = """cat models.txt | parallel -j 2 --colsep ' ' \\
  python scripts/simple_hf_to_ms.py {1} {2}
"""


@pytest.fixture
def models(lab: Lab, world: Path) -> Path:
    """A small model and one above 100 MB, and the list that names them."""
    add_model(lab, SMALL, 90_870_000)
    add_model(lab, BIG, 120_000_000)
    found = world / "models.txt"
    found.write_text(MODELS)
    return found


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_conditional_loop_copies_large_models_only(
    lab: Lab, bash: Bash, models: Path, language: str
) -> None:
    """The list is the loop's standard input: a script that read it would end the loop early."""
    del models
    done = bash(CONDITIONAL, HUBFERRY_LANG=language)
    assert done.returncode == 0, done.stderr
    assert f"⏭️  跳过小模型: {SMALL}" in done.stdout
    assert f"✅ 模型足够大，开始迁移: {BIG}" in done.stdout
    assert copied(lab, BIG, "your-org/DialoGPT-medium")
    assert lab.ms.repos.get("model", "your-org/DialoGPT-small") is None
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_the_incremental_loop_sees_what_was_copied(
    lab: Lab, bash: Bash, models: Path, world: Path
) -> None:
    lab.hf.repos.delete("model", BIG)
    models.write_text(f"# 一个新模型\n\n{SMALL} your-org/DialoGPT-small\n")
    run = 'import os; os.system(f"python scripts/simple_hf_to_ms.py {hf_model} {ms_model}")'
    script = INCREMENTAL.replace("https://modelscope.cn", lab.ms.endpoint)
    (world / "incremental_sync.py").write_text(script.replace("# 执行迁移...", run))

    first = bash("python incremental_sync.py", NO_PROXY="127.0.0.1")
    second = bash("python incremental_sync.py", NO_PROXY="127.0.0.1")

    assert f"🆕 新模型，开始迁移: {SMALL}" in first.stdout, first.stderr
    assert copied(lab, SMALL, "your-org/DialoGPT-small")
    assert "✅ 模型已存在，跳过: your-org/DialoGPT-small" in second.stdout


@pytest.mark.skipif(
    not shutil.which("parallel") and not os.environ.get("CI"),
    reason="GNU parallel is not installed (apt-get install parallel)",
)
def test_two_at_once_under_parallel_share_one_ledger(lab: Lab, bash: Bash, models: Path) -> None:
    assert shutil.which("parallel"), "CI must not skip this: apt-get install parallel"
    names = [f"microsoft/model-{number}" for number in range(4)]
    for name in names:
        add_model(lab, name, 2_000_000)
    models.write_text("".join(f"{name} your-org/{name.split('/')[1]}\n" for name in names))

    done = bash(PARALLEL)

    assert done.returncode == 0, done.stderr
    assert all(copied(lab, name, f"your-org/{name.split('/')[1]}") for name in names)
    history = json.loads(bash("hubferry runs list --json").stdout)["runs"]
    assert {run["source"] for run in history} == {f"hf://{name}" for name in names}
    assert {run["exit_code"] for run in history} == {0}


def test_the_batch_of_the_guide_copies_every_model(lab: Lab, bash: Bash, models: Path) -> None:
    del models
    add_model(lab, "sentence-transformers/all-MiniLM-L6-v2", 1_000_000)
    done = bash(
        """
# 1. 创建模型列表文件
cat > my_models.txt << EOF
microsoft/DialoGPT-small your-org/DialoGPT-small
microsoft/DialoGPT-medium your-org/DialoGPT-medium
sentence-transformers/all-MiniLM-L6-v2 your-org/all-MiniLM-L6-v2
EOF

# 2. 执行批量迁移
bash scripts/batch_transfer.sh my_models.txt
"""
    )
    assert done.returncode == 0, done.stderr
    for source, target in (
        (SMALL, "your-org/DialoGPT-small"),
        (BIG, "your-org/DialoGPT-medium"),
        ("sentence-transformers/all-MiniLM-L6-v2", "your-org/all-MiniLM-L6-v2"),
    ):
        assert copied(lab, source, target)


def test_the_single_commands_of_the_guide_work(lab: Lab, bash: Bash) -> None:
    add_model(lab, BIG, 1_000_000)
    private = add_model(lab, "your-org/private-model", 1_000_000)
    private.is_private = True
    done = bash(
        f"""set -e
python scripts/hf_to_modelscope_transfer.py \\
  --hf-model "microsoft/DialoGPT-medium" \\
  --ms-model "your-org/DialoGPT-medium" \\
  --commit-message "Initial model upload from HF" \\
  --log-level DEBUG
env -u HF_TOKEN python scripts/hf_to_modelscope_transfer.py \\
  --hf-model "your-org/private-model" \\
  --ms-model "your-org/private-model" \\
  --hf-token "{lab.hf.read_token}"
env -u HF_TOKEN python scripts/simple_hf_to_ms.py your-org/private-model your-org/model \\
  {lab.hf.read_token}
python scripts/check_modelscope_auth.py
"""
    )
    assert done.returncode == 0, done.stderr
    for name in ("private-model", "model"):
        made = lab.ms.repos.get("model", f"your-org/{name}")
        assert made is not None
        assert made.is_private
        assert copied(lab, "your-org/private-model", f"your-org/{name}")
    public = lab.ms.repos.get("model", "your-org/DialoGPT-medium")
    assert public is not None
    assert "Initial model upload from HF" in public.history()[0].message
    assert "lab-user" in done.stdout
    assert lab.hf.read_token not in done.stdout + done.stderr


def test_a_closed_pipe_is_silent(lab: Lab, bash: Bash) -> None:
    add_model(lab, BIG, 120_000_000)
    done = bash(
        f"""set -o pipefail
python scripts/hf_to_modelscope_transfer.py --hf-model {BIG} --ms-model your-org/xx \\
    --verify-only | true
echo "code ${{PIPESTATUS[0]}}"
"""
    )
    assert "code 0" in done.stdout
    assert "Broken" not in done.stderr
    assert "Traceback" not in done.stderr
