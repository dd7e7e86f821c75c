"""`plait status` and `plait stop`: the processes that Plait started on this machine."""


def status() -> None:
    """Show the processes that Plait started on this machine: Ray, Milvus, the exporter, the job queue, the watcher.

    Example: `plait status`
    """
    import sys
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

    from plait import library_output
    from plait.local.stack import running
    from plait.settings import settings

    for line in library_output.cut_off():
        print(line, file=sys.stderr)
    processes = running()
    if not processes:
        print(f"Nothing of {settings().root} is running.")
        return
    table = Table("process", "pid", "address", "since", "memory", title=f"PLAIT_HOME {settings().root}")
    for found in processes:
        since = datetime.fromtimestamp(found.created_at).strftime("%Y-%m-%d %H:%M:%S")
        memory = f"{found.memory_bytes() / 2**20:.0f} MiB"
        table.add_row(found.name, str(found.pid), found.address or "nowhere", since, memory)
    Console().print(table)


def stop() -> None:
    """Stop the processes that Plait started on this machine, and what is served on them.

    Indexes, adapters and models are kept.

    Example: `plait stop`
    """
    from plait.local.stack import stop_each

    nothing = True
    for process in stop_each():
        print(f"stopped {process.name} (pid {process.pid})", flush=True)
        nothing = False
    if nothing:
        print("Nothing was running.")
