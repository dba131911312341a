#!/usr/bin/env bash
# A Slurm of one node with fake GPUs on this machine's loopback, for tests: Debian, root, no systemd, no cgroups.
#   slurm.sh lacks             what is missing to run one; nothing, and exit 0, where all is there
#   slurm.sh up DIR GPUS DB    start it. DB: none, or database for accounting by slurmdbd and MariaDB
#   slurm.sh down DIR          end its jobs, stop what up started, by its process ids, and put everything back
# It starts nothing where a Slurm is configured or runs already, and touches none that it did not start.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
programs=(munged slurmctld slurmd sbatch slurmdbd mariadbd)
packages=(munge slurmctld slurmd slurm-client slurmdbd mariadb-server)

lacks() {
    local at missing=()
    [ "$(id -u)" = 0 ] || { echo "root, for Slurm's files and users"; exit 1; }
    for at in "${!programs[@]}"; do command -v "${programs[at]}" >/dev/null || missing+=("${packages[at]}"); done
    [ "${#missing[@]}" = 0 ] || { echo "${missing[*]}"; exit 1; }
}

wait_for() { # seconds, command ...
    local until=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $until ] || { echo "gave up on: $*" >&2; return 1; }; sleep 0.3; done
}

start() { # name, command ...: its process id in DIR/pids, in the order of starting
    local name=$1; shift
    "$@" >>"$dir/log/$name.log" 2>&1 &
    echo "$! $name" >>"$dir/pids"
}

accounting() {
    local data=$dir/mariadb socket=$dir/mariadb/socket
    install -d -o mysql -g mysql "$data"
    mariadb-install-db --user=mysql --datadir="$data" --auth-root-authentication-method=socket --skip-test-db >"$dir/log/install.log" 2>&1
    start mariadbd mariadbd --no-defaults --user=mysql --datadir="$data" --socket="$socket" --pid-file="$data/pid" \
        --skip-networking --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900
    wait_for 60 mariadb --no-defaults --socket="$socket" -e "select 1"
    mariadb --no-defaults --socket="$socket" -e "create database slurm_acct_db"
    cat >"$dir/slurmdbd.conf" <<CONF
AuthType=auth/munge
DbdHost=localhost
DbdPort=$((port + 2))
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
PidFile=$dir/run/slurmdbd.pid
LogFile=$dir/log/slurmdbd.log
CONF
    chmod 600 "$dir/slurmdbd.conf"
    # The server's client library looks for the socket where the system says; no option of slurmdbd names it.
    export MYSQL_UNIX_PORT=$socket
    ln -s "$dir/slurmdbd.conf" /etc/slurm/slurmdbd.conf
    start slurmdbd slurmdbd -D
    wait_for 60 sacctmgr -n show cluster
    sacctmgr -i add cluster "$cluster" >/dev/null
    sacctmgr -i add account lab Cluster="$cluster" >/dev/null
    sacctmgr -i add user root Account=lab >/dev/null
}

up() {
    local gpus=$1 database=$2 host cpus mem storage i devices=(/dev/null /dev/zero /dev/full /dev/random)
    if [ -e /etc/slurm/slurm.conf ] || pidof slurmctld slurmd slurmdbd >/dev/null; then
        echo "a Slurm is configured or runs here already; this script starts none beside it" >&2
        exit 3
    fi
    mkdir -p "$dir"/{state,spool,log,run} /etc/slurm
    chmod 755 "$dir" # MariaDB's own user looks into it
    : >"$dir/pids"
    host=$(hostname -s)
    cpus=16 # more than there are: what is tested is who waits for whom
    mem=$(($(awk '/MemTotal/{print $2}' /proc/meminfo) / 1024 * 4))
    port=$((20000 + $$ % 20000))
    cluster=ci$port # by which the processes of its jobs are known
    storage="AccountingStorageType=accounting_storage/none"
    [ "$database" = none ] || storage="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=$((port + 2))
AccountingStorageTRES=gres/gpu
JobCompType=jobcomp/none"
    cat >"$dir/slurm.conf" <<CONF
ClusterName=$cluster
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none
ReturnToService=2
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.pid
SlurmdSpoolDir=$dir/spool
StateSaveLocation=$dir/state
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
$storage
MinJobAge=300
KillWait=20
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus Boards=1 SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=$mem Gres=gpu:fake:$gpus State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=7-00:00:00 State=UP
CONF
    echo "AutoDetect=off" >"$dir/gres.conf"
    # Slurm counts a GPU only where it finds a character device; these are not opened.
    for ((i = 0; i < gpus; i++)); do echo "NodeName=$host Name=gpu Type=fake File=${devices[i]}" >>"$dir/gres.conf"; done
    # The executor's job step drops SLURM_CONF, so the files must be where Slurm looks by default.
    ln -s "$dir/slurm.conf" /etc/slurm/slurm.conf
    ln -s "$dir/gres.conf" /etc/slurm/gres.conf
    if ! pidof munged >/dev/null; then
        install -d -o munge -g munge -m 0755 /run/munge
        start munged setpriv --reuid munge --regid munge --init-groups munged --foreground
        wait_for 20 munge -n
    fi
    [ "$database" = none ] || accounting
    start slurmctld slurmctld -D
    wait_for 20 scontrol ping
    start slurmd slurmd -D
    wait_for 40 sh -c 'sinfo -h -o %T | grep -qx idle' || { sinfo -N -o '%N %T %E' >&2; tail -n 5 "$dir"/log/*.log >&2; return 1; }
    sinfo -N -h -o '%N %T %c %m %G'
}

jobs_of() { # cluster: the processes of its jobs, also of those that have left their session and their parent
    local of
    for of in /proc/[0-9]*/environ; do
        of=${of%/environ}
        if grep -zqxF "SLURM_CLUSTER_NAME=$1" "$of/environ" 2>/dev/null; then echo "${of#/proc/}"; fi
    done
}

end_jobs() { # cluster: cancelled first, so that what is told to end may; then whoever is left
    local left pid
    { timeout 10 squeue -h -o %A | sort -u | timeout 10 xargs -r scancel; } >/dev/null 2>&1 || true
    for _ in $(seq 50); do [ -n "$(jobs_of "$1")" ] || return 0; sleep 0.2; done
    left=$(jobs_of "$1")
    for pid in $left; do kill -9 "$pid" 2>/dev/null || true; done
}

down() {
    local link pid name cluster
    cluster=$(sed -n 's/^ClusterName=//p' "$dir/slurm.conf" 2>/dev/null || true)
    [ ! -s "$dir/pids" ] || [ -z "$cluster" ] || end_jobs "$cluster"
    for link in slurm.conf gres.conf slurmdbd.conf; do
        [ "$(readlink /etc/slurm/$link 2>/dev/null)" = "$dir/$link" ] && rm -f /etc/slurm/$link
    done
    [ -s "$dir/pids" ] || return 0
    tac "$dir/pids" | while read -r pid name; do
        # Only what still is what was started: a process id is given away again.
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$name" ] || continue
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 100); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
        [ ! -d "/proc/$pid" ] || kill -9 "$pid" 2>/dev/null || true
    done
    rm -f "$dir/pids"
}

command=${1:?lacks, up or down}
[ "$command" = lacks ] || dir=$(realpath -m "${2:?a folder}")
case $command in
lacks) lacks ;;
up) up "${3:-2}" "${4:-none}" ;;
down) down ;;
*) echo "allowed are lacks, up and down" >&2; exit 2 ;;
esac
