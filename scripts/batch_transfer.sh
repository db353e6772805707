#!/usr/bin/env bash
# Copy many models from Hugging Face to ModelScope, one after the other.
#
#   bash scripts/batch_transfer.sh my_models.txt
#
# Each line names SOURCE and TARGET, with spaces or tabs between. Empty lines and
# what follows '#' are skipped. One failure does not stop the rest.
#
# Exit code: 0 all copied; 3 some copied and some not; else the first failure's own.
# HUBFERRY_PYTHON names the interpreter that has hubferry; every option of the
# commands can be set as a HUBFERRY_... variable.

set -u

# Decided as in the commands: HUBFERRY_LANG, then the locale.
case "${HUBFERRY_LANG:-${LC_ALL:-${LC_MESSAGES:-${LANG:-}}}}" in
    zh*) is_chinese=1 ;;
    *) is_chinese= ;;
esac

say() { # CHINESE ENGLISH
    if [ -n "$is_chinese" ]; then printf '%s\n' "$1"; else printf '%s\n' "$2"; fi
}

usage_error() { # CHINESE ENGLISH
    echo "Error: Wrong usage"
    printf '  '
    say "$1" "$2"
    echo "  bash $0 FILE"
    exit 2
} >&2

[ $# -eq 1 ] || usage_error "需要且只需要一个模型列表文件" "exactly one list of models is needed"
list=$1
if [ -d "$list" ] || [ ! -r "$list" ]; then
    usage_error "无法读取模型列表文件: $list" "cannot read the list of models: $list"
fi

scripts=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P) || exit 1
if [ -n "${HUBFERRY_PYTHON:-}" ]; then
    python=$HUBFERRY_PYTHON
elif [ -x "$scripts/../.venv/bin/python" ]; then
    python=$scripts/../.venv/bin/python
elif [ -x "$scripts/../.venv/Scripts/python.exe" ]; then
    python=$scripts/../.venv/Scripts/python.exe
else
    python=python3
fi

total=0
copied=0
first_code=0
failures=()

fail() { # CODE WHAT
    failures+=("$2 ($1)")
    if [ "$first_code" -eq 0 ]; then first_code=$1; fi
}

child=
stop() { # [SIGNAL for the copy in progress]
    if [ -n "$child" ]; then
        if [ $# -eq 1 ]; then kill -s "$1" "$child"; fi
        wait "$child"
    fi
    say "已停止；再次运行同一命令即可继续" "Stopped; run the same command again to go on"
    exit 130
} >&2
# Ctrl-C reaches the copy by itself; a second signal would cut its orderly end short.
trap stop INT
trap 'stop TERM' TERM

transfer() { # SOURCE TARGET
    say "[$total] 开始迁移: $1 -> $2" "[$total] copying: $1 -> $2"
    # In the background, because a trap waits for a command in the foreground.
    "$python" "$scripts/simple_hf_to_ms.py" "$1" "$2" </dev/null 3<&- &
    child=$!
    wait "$child"
    local code=$?
    child=
    if [ "$code" -eq 130 ]; then stop; fi
    if [ "$code" -eq 0 ]; then
        copied=$((copied + 1))
    else
        fail "$code" "$1 -> $2"
    fi
}

# The list is read on descriptor 3, so that no command in the loop can take lines
# from it by reading its standard input.
exec 3<"$list" || exit 2
byte_order_mark=$'\xef\xbb\xbf'
number=0
while IFS= read -r line <&3 || [ -n "$line" ]; do
    number=$((number + 1))
    if [ "$number" -eq 1 ]; then line=${line#"$byte_order_mark"}; fi
    line=${line//$'\r'/}
    line=${line%%#*}
    read -r source target rest <<<"$line" || true
    if [ -z "$source" ]; then continue; fi
    total=$((total + 1))
    if [ -z "$target" ] || [ -n "$rest" ]; then
        echo "Error: Wrong usage" >&2
        say "  第 $number 行应为“源 目标”: $line" "  line $number is not 'SOURCE TARGET': $line" >&2
        fail 2 "$list:$number"
        continue
    fi
    transfer "$source" "$target"
done
exec 3<&-

failed=${#failures[@]}
say "完成: 共 $total 个，成功 $copied 个，失败 $failed 个" \
    "Done: $total in all, $copied copied, $failed failed"
if [ "$failed" -gt 0 ]; then
    say "失败的模型（括号内为退出码）:" "Failed (exit code in parentheses):" >&2
    printf '  %s\n' "${failures[@]}" >&2
    if [ "$copied" -gt 0 ]; then exit 3; fi
fi
exit "$first_code"
