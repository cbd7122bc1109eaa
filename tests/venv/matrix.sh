#!/usr/bin/env bash
# Serves Flask from virtual environments made by `python -m venv` and by pipenv, for each Python that
# uwring is built for, found in each of the ways that users choose one, with and without PYTHON* in the
# environment. Prints a line for each cell and fails if one does not serve its own environment.
#
#   tests/venv/matrix.sh build/uwring WORKDIR
set -euo pipefail
uwring=$(realpath "$1") work=$(mkdir -p "$2" && realpath "$2") here=$(dirname "$(realpath "$0")")
root=$(dirname "$(dirname "$here")") failed=0
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH

make_venv() { # maker minor python
    local dir=$work/$1-$2
    if [ ! -x "$dir/path/bin/python" ]; then
        mkdir -p "$dir"
        if [ "$1" = venv ]; then
            "$3" -m venv "$dir/path"
        else
            [ -x "$work/pipenv/bin/pipenv" ] || {
                python3 -m venv "$work/pipenv" && "$work/pipenv/bin/pip" -q install pipenv; }
            (cd "$dir" && WORKON_HOME=$dir/homes PIPENV_IGNORE_VIRTUALENVS=1 \
                "$work/pipenv/bin/pipenv" --python "$3" >"$dir/log" 2>&1 &&
                ln -sfn "$(WORKON_HOME=$dir/homes "$work/pipenv/bin/pipenv" --venv)" path)
        fi
        "$dir/path/bin/python" -m pip -q install flask
    fi
}

check() { # name expected-minor expected-prefix env... -- arguments...
    local name=$1 minor=$2 prefix=$3 env=() ; shift 3
    while [ "$1" != -- ]; do env+=("$1"); shift; done; shift
    local log=$work/server.log answer='' port='' pid
    env "${env[@]}" timeout 60 "$@" --http-socket 127.0.0.1:0 -w app:app --chdir "$here" \
        >"$log" 2>&1 & pid=$!
    for _ in $(seq 300); do
        port=$(sed -n 's/^uwring is ready.* on 127.0.0.1:\([0-9]*\).*/\1/p' "$log")
        [ -n "$port" ] && break
        kill -0 $pid 2>/dev/null || break
        sleep 0.1
    done
    [ -n "$port" ] && answer=$(curl -s -m 5 "http://127.0.0.1:$port/" || true)
    kill $pid 2>/dev/null || true; wait $pid 2>/dev/null || true
    if [ "$answer" = "$minor $(realpath "$prefix") True" ] || [ "$answer" = "$minor $prefix True" ]; then
        echo "ok      $name"
    else
        echo "FAILED  $name: ${answer:-$(tail -n 5 "$log")} ($(wc -l <"$log") lines of log)"; failed=1
    fi
}

while read -r minor python; do
    for maker in venv pipenv; do
        make_venv $maker "$minor" "$python"
        venv=$work/$maker-$minor/path
        ln -sf "$uwring" "$venv/bin/uwsgi"
        for noise in plain PYTHON; do
            extra=(A=b)
            [ $noise = PYTHON ] && extra=(PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
                PYTHONPATH=/nonexistent PYTHONHASHSEED=7)
            cell="$maker $minor $noise"
            check "$cell -H" "$minor" "$venv" "${extra[@]}" -- "$uwring" -H "$venv"
            check "$cell --virtualenv" "$minor" "$venv" "${extra[@]}" -- "$uwring" --virtualenv "$venv"
            check "$cell VIRTUAL_ENV" "$minor" "$venv" "${extra[@]}" VIRTUAL_ENV="$venv" -- "$uwring"
            check "$cell bin/uwsgi" "$minor" "$venv" "${extra[@]}" -- "$venv/bin/uwsgi"
            printf '[uwsgi]\nhome = %s\n' "$venv" >"$work/home.ini"
            check "$cell ini home" "$minor" "$venv" "${extra[@]}" -- "$uwring" --ini "$work/home.ini"
        done
    done
done < <("$root/scripts/find-python" --default)
exit $failed
