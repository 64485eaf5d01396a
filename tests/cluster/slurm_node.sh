#!/usr/bin/env bash
# A Slurm of one node on this machine, for tests: slurm_node.sh install | start | stop. Debian, as root, without systemd.
# Its only GPU is a file: jobs ask for it and wait for it, and nothing computes on it.
set -euo pipefail

HOME_OF_SLURM=/var/lib/pertprobe-slurm
CONFIG=/etc/slurm/slurm.conf # the executor plugin drops SLURM_CONF, so no other place is read
MARK="# A node for tests, made by tests/cluster/slurm_node.sh of pertprobe."

refuse() {
  echo "$*" >&2
  exit 3
}

may_we() {
  [ "$(id -u)" = 0 ] || refuse "Slurm's daemons are installed and started as root"
  command -v apt-get >/dev/null || refuse "Slurm is installed from Debian's packages, and there is no apt-get"
  if [ -e $CONFIG ] && ! grep -qF "$MARK" $CONFIG; then
    refuse "$CONFIG belongs to another Slurm, which is left alone"
  fi
}

install_packages() {
  command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && return
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -qq \
    slurmctld slurmd slurm-client munge || refuse "apt-get could not install slurmctld, slurmd and munge"
}

# linuxproc, task/none, jobacct_gather/linux: a container has no cgroups of its own. Memory is looked at every second.
# config_overrides: two CPUs, and what a third attempt asks for, are granted where the machine has less, since no job here
# uses it. (nproc would not do: it says what OMP_NUM_THREADS says.)
configure() {
  mkdir -p /etc/slurm $HOME_OF_SLURM/state $HOME_OF_SLURM/spool
  [ -c $HOME_OF_SLURM/gpu ] || mknod $HOME_OF_SLURM/gpu c 1 3
  echo "NodeName=tester Name=gpu File=$HOME_OF_SLURM/gpu" >/etc/slurm/gres.conf
  cat >$CONFIG <<END
$MARK
ClusterName=tests
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmUser=root
StateSaveLocation=$HOME_OF_SLURM/state
SlurmdSpoolDir=$HOME_OF_SLURM/spool
SlurmctldPidFile=$HOME_OF_SLURM/slurmctld.pid
SlurmdPidFile=$HOME_OF_SLURM/slurmd.pid
SlurmctldLogFile=$HOME_OF_SLURM/slurmctld.log
SlurmdLogFile=$HOME_OF_SLURM/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MinJobAge=3600
KillWait=2
ReturnToService=2
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=tester NodeHostname=$(hostname) NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000 Gres=gpu:1 State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES DefaultTime=60 MaxTime=INFINITE State=UP
END
}

running() {
  [ -e "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null
}

start() {
  install -d -o munge -g munge /run/munge
  running /run/munge/munged.pid || su munge -s /bin/sh -c /usr/sbin/munged
  running $HOME_OF_SLURM/slurmctld.pid || slurmctld -c
  running $HOME_OF_SLURM/slurmd.pid || slurmd -c
  for _ in $(seq 60); do
    [ "$(timeout 5 sinfo --noheader --format=%T 2>/dev/null)" = idle ] && return
    running $HOME_OF_SLURM/slurmctld.pid || break
    sleep 1
  done
  echo "the node did not become idle: see $HOME_OF_SLURM/*.log" >&2
  exit 1
}

stop() {
  scancel --full --user=root 2>/dev/null || true
  for daemon in $HOME_OF_SLURM/slurmd.pid $HOME_OF_SLURM/slurmctld.pid /run/munge/munged.pid; do
    if running $daemon; then kill "$(cat $daemon)"; fi
  done
}

may_we
case "${1:-}" in
  install) install_packages ;;
  start) configure && start ;;
  stop) stop ;;
  *) refuse "usage: slurm_node.sh install | start | stop" ;;
esac
