# What follows wants the package bash-completion. Where that is not installed, this is enough of it.
if ! declare -F _init_completion >/dev/null && ! declare -F _get_comp_words_by_ref >/dev/null; then
    # The words up to the cursor, as blanks part them: bash itself parts at = and : as well.
    _get_comp_words_by_ref() {
        local line="${COMP_LINE:0:COMP_POINT}"
        read -ra words <<<"$line"
        [[ $line != *[[:space:]] ]] || words+=("")
        cword=$((${#words[@]} - 1))
        cur="${words[cword]}"
        prev="${words[cword > 0 ? cword - 1 : 0]}"
    }
fi
if ! declare -F _filedir >/dev/null; then
    # Directories, and files: with -d none, with yaml|json those that end so.
    _filedir() {
        local path
        [[ $(type -t compopt) != builtin ]] || compopt -o filenames 2>/dev/null
        while IFS= read -r path; do
            if [[ -d $path || -z ${1-} || ($1 != -d && "|$1" == *"|${path##*.}|"*) ]]; then
                COMPREPLY+=("$path")
            fi
        done < <(compgen -f -- "$cur")
    }
fi

