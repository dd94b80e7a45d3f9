# bench/peers/slurm.sh - a Slurm of Debian's packages on this machine: eight nodes of 64 CPUs; sourced, needs bench/lib.sh
# slurm_up DIR GROUP: munged, slurmctld and eight slurmd with their state below DIR, CPU counted in cgroup GROUP, pids in PIDS
slurm_up() {
	local d=$1 i
	mkdir -p "$d/state" "$d/munge"; chmod 755 "$RUN" "$d" "$d/munge"
	dd if=/dev/urandom of="$d/munge/key" bs=1 count=1024 2>/dev/null; chmod 600 "$d/munge/key"
	cat >"$d/slurm.conf" <<-END
		ClusterName=bench
		SlurmctldHost=localhost(10.99.0.1)
		SlurmctldPort=16817
		SlurmUser=root
		AuthType=auth/munge
		AuthInfo=socket=$d/munge/sock
		StateSaveLocation=$d/state
		SlurmdSpoolDir=$d/spool-%n
		SlurmctldPidFile=$d/ctld.pid
		SlurmdPidFile=$d/slurmd-%n.pid
		SlurmctldLogFile=$d/ctld.log
		SlurmdLogFile=$d/slurmd-%n.log
		SlurmdParameters=config_overrides
		ProctrackType=proctrack/pgid
		TaskPlugin=task/none
		SelectType=select/cons_tres
		SelectTypeParameters=CR_CPU
		SchedulerParameters=defer_batch,batch_sched_delay=1,sched_min_interval=200000,default_queue_depth=2000
		MpiDefault=none
		ReturnToService=2
		AccountingStorageType=accounting_storage/none
		JobCompType=jobcomp/none
		JobAcctGatherType=jobacct_gather/none
		MaxArraySize=100001
		MaxJobCount=200000
		NodeName=n[1-8] NodeHostname=localhost NodeAddr=10.99.0.1 Port=[20001-20008] CPUs=64 State=UNKNOWN
		PartitionName=p Nodes=ALL Default=YES MaxTime=INFINITE State=UP
	END
	export SLURM_CONF=$d/slurm.conf
	spawn_in "$2" munged -F -f -S "$d/munge/sock" --key-file="$d/munge/key" --pid-file="$d/munge/pid" --seed-file="$d/munge/seed" --log-file="$d/munge/log"
	sleep 1
	spawn_in "$2" slurmctld -D -c -f "$d/slurm.conf"
	sleep 2
	for i in 1 2 3 4 5 6 7 8; do mkdir -p "$d/spool-n$i"; spawn_in "$2" slurmd -D -f "$d/slurm.conf" -N "n$i"; done
	for _ in $(seq 60); do sinfo -h -t idle -o %D 2>/dev/null | grep -qx 8 && break; sleep 0.5; done
}
