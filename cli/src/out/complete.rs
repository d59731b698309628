//! Completion scripts: small ones that ask `gantry __complete` what can come next, so that names and options come from
//! the tables and the state of the moment.

/// The script of a shell.
pub fn script(shell: &str) -> Option<&'static str> {
    match shell {
        "bash" => Some(BASH),
        "zsh" => Some(ZSH),
        "fish" => Some(FISH),
        _ => None,
    }
}

const BASH: &str = r#"# bash completion for gantry
_gantry() {
    local IFS=$'\n' word="${COMP_WORDS[COMP_CWORD]}" answer
    answer=$(gantry __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [[ $answer == :files* ]]; then
        COMPREPLY=($(compgen -f -- "$word"))
        compopt -o filenames 2>/dev/null
    else
        COMPREPLY=($(compgen -W "${answer//	*([^$'\n'])/}" -- "$word"))
    fi
}
shopt -s extglob 2>/dev/null
complete -F _gantry gantry
"#;

const ZSH: &str = r#"#compdef gantry
# zsh completion for gantry
_gantry() {
    local -a lines choices
    local line
    lines=("${(@f)$(gantry __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${lines[1]} == :files ]]; then
        _files
        return
    fi
    for line in $lines; do
        [[ -n $line ]] && choices+=("${${line%%	*}//:/\\:}:${line#*	}")
    done
    _describe gantry choices
}
if [[ ${funcstack[1]} == _gantry ]]; then
    _gantry "$@"
else
    compdef _gantry gantry
fi
"#;

const FISH: &str = r#"# fish completion for gantry
function __gantry_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l answer (gantry __complete $words[2..-1] 2>/dev/null)
    if test "$answer[1]" = ":files"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $answer
    end
end
complete -c gantry -f -a '(__gantry_complete)'
"#;
