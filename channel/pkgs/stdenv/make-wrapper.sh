# makeWrapper PROGRAM WRAPPER ARGUMENTS: a script that changes the environment and becomes the program.
#
#   --set NAME VALUE, --set-default NAME VALUE, --unset NAME
#   --prefix NAME SEPARATOR VALUE, --suffix NAME SEPARATOR VALUE
#   --run COMMAND, --chdir FOLDER, --argv0 NAME, --inherit-argv0
#   --add-flags FLAGS, --append-flags FLAGS, --add-flag FLAG, --append-flag FLAG

makeWrapper() {
    local program=$1 wrapper=$2 name before='' after='' zero='"$0"' lines=()
    shift 2
    while [ $# -gt 0 ]; do
        case $1 in
            --set) lines+=("export $2=${3@Q}"); shift 3 ;;
            --set-default) lines+=("export $2=\"\${$2-${3//[\"\\\$\`]/\\&}}\""); shift 3 ;;
            --unset) lines+=("unset $2"); shift 2 ;;
            --prefix) [ -z "$4" ] || lines+=("export $2=${4@Q}\${$2:+${3@Q}\$$2}"); shift 4 ;;
            --suffix) [ -z "$4" ] || lines+=("export $2=\${$2:+\$$2${3@Q}}${4@Q}"); shift 4 ;;
            --run) lines+=("$2"); shift 2 ;;
            --chdir) lines+=("cd ${2@Q}"); shift 2 ;;
            --argv0) zero=${2@Q}; shift 2 ;;
            --inherit-argv0 | --resolve-argv0) shift ;;
            --add-flags) before+=" $2"; shift 2 ;;
            --append-flags) after+=" $2"; shift 2 ;;
            --add-flag) before+=" ${2@Q}"; shift 2 ;;
            --append-flag) after+=" ${2@Q}"; shift 2 ;;
            *) echo "makeWrapper: what is \`$1'?" >&2; return 1 ;;
        esac
    done
    if [ ! -x "$program" ]; then
        echo "makeWrapper: this cannot be executed: $program" >&2
        return 1
    fi
    mkdir -p "$(dirname "$wrapper")"
    {
        echo "#!$(_inStore /usr/bin/bash) -e"
        [ "${#lines[@]}" -eq 0 ] || printf '%s\n' "${lines[@]}"
        echo "exec -a $zero ${program@Q}$before \"\$@\"$after"
    } > "$wrapper"
    chmod +x "$wrapper"
}
makeShellWrapper() { makeWrapper "$@"; }
makeBinaryWrapper() { makeWrapper "$@"; }

# wrapProgram PROGRAM ARGUMENTS: the program itself becomes the wrapper.
wrapProgram() {
    local program=$1 hidden
    hidden=${program%/*}/.${program##*/}-wrapped
    while [ -e "$hidden" ]; do
        hidden=${hidden}_
    done
    mv "$program" "$hidden"
    makeWrapper "$hidden" "$program" "${@:2}"
}
wrapProgramShell() { wrapProgram "$@"; }
