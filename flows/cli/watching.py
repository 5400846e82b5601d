"""The command ``watch`` of ``unseen``: thin, no logic."""

from typing import Annotated

import typer

from flows.cli.serving import Engine, KeepMib, KeepPolicy


def watch(
    name: Annotated[str, typer.Argument(help="Name of the registered model; a recipe's name.")],
    sources: Annotated[
        list[str], typer.Argument(help="Folders, video files, http:// or rtsp://, camera numbers.")
    ],
    keep: KeepPolicy = "none",
    keep_mib: KeepMib = 1024,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(help="Share of normal frames that may raise an alarm; else the model's own."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Score what is there now, and end.")] = False,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of this machine for Prometheus; else none.")
    ] = None,
    engine: Engine = "auto",
) -> None:
    """Score what sources show, with the champion, and log it as the server does.

    A folder is looked through every second, also over NFS; a stream or camera that is lost is
    opened again, later and later; what comes too fast is dropped, the oldest first, and counted.
    Killed and started again, it scores no file and no frame of a video twice. 'unseen notify' tells
    of alarms, 'unseen review' shows what was kept, 'unseen monitor' finds drift.
    """
    import logging

    from prometheus_client import start_http_server

    from tasks.serving.kept_pictures import Keep
    from tasks.watching.sources import source
    from tasks.watching.watch import Watcher, until_told

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    watcher = Watcher(
        name,
        [source(each) for each in sources],
        keep=Keep(policy=keep, mib=keep_mib),
        false_alarm_rate=false_alarm_rate,
        engine=engine,
    )
    if metrics_port is not None:
        start_http_server(metrics_port, "127.0.0.1", watcher.metrics.registry)
    until_told(watcher)
    watcher.run(once=once)
    for each, count in watcher.scored.items():
        dropped = watcher.backlog.dropped[each]
        typer.echo(f"{each}: {count} scored{f', {dropped} dropped' if dropped else ''}")
