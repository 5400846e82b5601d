"""The machine: paths, git, locks, processes, Prefect's server, events, logs."""
