# SPDX-License-Identifier: MIT
# bash completion for smokefs(1).

_smokefs_options='--address --port --seed --no-discovery --loopback --min-peers --max-peers
--ping-timeout --stall-timeout --min-rate --name --key --new-key --state --log-level --log --wait --wait= --user --gid --umask --seccomp
--foreground --debug --help --version -a -p -s -f -d -o -h -V'
# What -o takes; those with = need a value.
_smokefs_mount_options='address= port= seed= no_discovery loopback min_peers= max_peers=
ping_timeout= stall_timeout= min_rate= name= key= new_key state= log_level= log= wait wait= run_as= gid= umask= seccomp= foreground debug
allow_other allow_root default_permissions ro rw nodev nosuid noexec noatime _netdev nofail noauto
user x-systemd.automount'

# The values of one option, by its name without dashes.
_smokefs_values() { # name, beginning
    case $1 in
    log[-_]level) compgen -W 'trace debug info warn error fatal' -- "$2" ;;
    log)
        compgen -W 'auto stderr syslog' -- "$2"
        compgen -f -- "$2"
        ;;
    seccomp) compgen -W 'enforce log off' -- "$2" ;;
    user | run_as) compgen -u -- "$2" ;;
    gid) compgen -g -- "$2" ;;
    umask) compgen -W '077 007 027' -- "$2" ;;
    key | k) compgen -f -- "$2" ;;
    state) compgen -d -- "$2" ;;
    seed | s) compgen -W none -A hostname -- "$2" ;;
    min[-_]peers | max[-_]peers | ping[-_]timeout | stall[-_]timeout | min[-_]rate) ;;
    port | p | name | address | a | wait) ;;
    *) return 1 ;;
    esac
    return 0
}

# One word of -o, of which only the last of the list is not yet there.
_smokefs_words() { # word
    local given='' last=$1 candidate
    case $1 in
    *,*) given=${1%,*}, last=${1##*,} ;;
    esac
    if [[ $last == *=* ]]; then
        _smokefs_values "${last%%=*}" "${last#*=}" | while read -r candidate; do
            printf '%s\n' "$given${last%%=*}=$candidate"
        done
    else
        compgen -P "$given" -W "$_smokefs_mount_options" -- "$last"
    fi
}

# bash parts words at = and :, and wants to be told what is behind the last of them: so the word is
# taken from the line itself.
_smokefs() {
    local line=${COMP_LINE:0:COMP_POINT} word before name strip found i
    word=${line##*[[:space:]]}
    before=${line%"$word"}
    before=${before%"${before##*[![:space:]]}"}
    before=${before##*[[:space:]]}
    name=${before##*-}
    [[ $before == --* ]] && name=${before#--}
    COMPREPLY=()
    if [[ $before == -o ]]; then
        found=$(_smokefs_words "$word")
        compopt -o nospace 2>/dev/null
    elif [[ $word == --*=* ]]; then
        name=${word%%=*}
        found=$(_smokefs_values "${name#--}" "${word#*=}" | sed "s|^|$name=|")
    elif [[ $word == -* ]]; then
        found=$(compgen -W "$_smokefs_options" -- "$word")
        [[ $found == *= ]] && compopt -o nospace 2>/dev/null
    elif [[ $before == -?* && $name != wait ]] && _smokefs_values "$name" "" >/dev/null; then
        found=$(_smokefs_values "$name" "$word")
        compopt -o filenames 2>/dev/null
    else
        found=$(compgen -W none -- "$word"; compgen -d -- "$word")
        compopt -o filenames 2>/dev/null
    fi
    [[ $found ]] || return 0
    mapfile -t COMPREPLY <<<"$found"
    strip=${word%"${word##*[=:]}"}
    for i in "${!COMPREPLY[@]}"; do
        COMPREPLY[i]=${COMPREPLY[i]#"$strip"}
    done
}

complete -F _smokefs smokefs
