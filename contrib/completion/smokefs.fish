# SPDX-License-Identifier: MIT
# fish completion for smokefs(1).

set -l levels 'trace debug info warn error fatal'
set -l modes 'enforce log off'

# One word of -o, of which only the last of the list is not yet there.
function __smokefs_mount_options
    set -l given (string match -r '^.*,' -- (commandline -ct | string replace -r '^-o' ''))
    for option in address= port= seed= no_discovery loopback min_peers= max_peers= ping_timeout= stall_timeout= min_rate= name= \
            key= new_key state= log_level={trace,debug,info,warn,error,fatal} \
            log={auto,stderr,syslog} wait wait= run_as= gid= umask={077,007,027} \
            seccomp={enforce,log,off} foreground debug allow_other allow_root \
            default_permissions ro rw nodev nosuid noexec noatime _netdev nofail noauto user \
            x-systemd.automount
        echo "$given$option"
    end
end

complete -c smokefs -f
complete -c smokefs -a '(__fish_complete_directories)' -d 'mount point'
complete -c smokefs -a none -d 'no seed: maybe the first node'
complete -c smokefs -s a -l address -x -d 'address to listen at, or a subnet'
complete -c smokefs -s p -l port -x -d 'port to listen at'
complete -c smokefs -s s -l seed -x -a 'none (__fish_print_hostnames)' -d 'a node to join by'
complete -c smokefs -l loopback -d 'what one file handle writes the others read'
complete -c smokefs -l no-discovery -d 'do not look for others on the local network'
complete -c smokefs -l min-peers -x -d 'look for more peers below this'
complete -c smokefs -l max-peers -x -d 'keep no more peers than this; 0: no limit'
complete -c smokefs -l ping-timeout -x -d 'a peer silent for this many ms is gone'
complete -c smokefs -l stall-timeout -x -d 'who holds others up has this many ms'
complete -c smokefs -l min-rate -x -d 'and takes at least so many bytes a second'
complete -c smokefs -l name -x -d 'name of this node'
complete -c smokefs -l key -r -F -d 'the key of the network'
complete -c smokefs -l new-key -d 'make that file: a new network'
complete -c smokefs -l state -x -a '(__fish_complete_directories)' -d 'where its own key is kept'
complete -c smokefs -l log-level -x -a $levels -d 'least important level that is logged'
complete -c smokefs -l log -r -F -a 'auto stderr syslog' -d 'where the log goes'
complete -c smokefs -l wait -d 'return only when there is a peer'
complete -c smokefs -l user -x -a '(__fish_complete_users)' -d 'user to be once mounted (root only)'
complete -c smokefs -l gid -x -a '(__fish_complete_groups)' -d 'group of the files'
complete -c smokefs -l umask -x -a '077 007 027' -d 'what group and others may not do'
complete -c smokefs -l seccomp -x -a $modes -d 'system calls of no use'
complete -c smokefs -s f -l foreground -d 'stay in the foreground'
complete -c smokefs -s d -l debug -d 'foreground, with a trace of every request'
complete -c smokefs -s o -x -a '(__smokefs_mount_options)' -d 'as mount(8) spells them'
complete -c smokefs -s h -l help -d 'summary'
complete -c smokefs -s V -l version -d 'version'
