# installManPage FILE...; installShellCompletion [--cmd NAME] [--bash|--fish|--zsh] FILE...; installBin FILE...

installManPage() {
    local file section
    for file in "$@"; do
        section=${file%.gz}
        section=${section##*.}
        install -Dm644 -t "$(_output man)/share/man/man${section:0:1}" "$file"
    done
}

installShellCompletion() {
    local shell='' command='' name
    while [ $# -gt 0 ]; do
        case $1 in
            --cmd) command=$2; shift ;;
            --name) command=$2; shift ;;
            --bash | --fish | --zsh) shell=${1#--} ;;
            *)
                name=${command:-$(basename "$1" ".${shell:-${1##*.}}")}
                case ${shell:-${1##*.}} in
                    bash) install -Dm644 "$1" "$out/share/bash-completion/completions/$name" ;;
                    fish) install -Dm644 "$1" "$out/share/fish/vendor_completions.d/$name.fish" ;;
                    zsh) install -Dm644 "$1" "$out/share/zsh/site-functions/_${name#_}" ;;
                    *) echo "installShellCompletion: for which shell is \`$1'?" >&2; return 1 ;;
                esac
                ;;
        esac
        shift
    done
}

installBin() {
    install -Dm755 -t "$(_output bin)/bin" "$@"
}
