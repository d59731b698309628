# What Gantry's containers may do unless told otherwise: everything that is the container's own. What is denied belongs to
# the host's kernel; other layers (read-only mounts, masked paths, missing capabilities) deny most of it, too.
profile gantry-default flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  unix,

  # Processes of containers see each other and are seen by the host's.
  signal (receive) peer=unconfined,
  signal (send, receive) peer=gantry-default,
  ptrace (read, trace, readby, tracedby) peer=gantry-default,

  deny mount,

  # Files of /proc that belong to no process.
  deny /proc/* w,
  deny /proc/{acpi,asound,bus,driver,fs,irq,scsi,tty}/** w,
  deny /proc/{kcore,kmem,mem,sysrq-trigger} rwklx,
  deny /proc/sys/{abi,debug,dev,fs,user,vm}/** w,
  # Of kernel.*: only what a namespace of IPC has of its own (msg*, sem, shm*).
  deny /proc/sys/kernel/{[^ms]*,m[^s]*,s[^eh]*} w,
  deny /proc/sys/kernel/*/** w,

  deny /sys/{block,bus,class,dev,devices,firmware,hypervisor,kernel,module,power}/** wklx,
  deny /sys/fs/[^c]*/** wklx,
}
