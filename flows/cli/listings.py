"""What there is to choose from: recipes, detectors and data sets, as rows and as tables."""

from typing import Any

from rich.console import Group, RenderableType

from flows.cli.tables import table_of

Row = dict[str, Any]


def recipe_rows() -> list[Row]:
    """Every recipe with its data set and what it is."""
    from flows import recipes

    return [
        {"recipe": name, "dataset": recipes.load(name).dataset, "what": description}
        for name, description in recipes.names().items()
    ]


def recipe_table() -> RenderableType:
    """The same for people."""
    table = table_of("recipe", "data set", "what")
    for row in recipe_rows():
        table.add_row(*row.values())
    return table


def detector_rows() -> list[Row]:
    """Every detector, what it is, and the seconds it takes, as far as they were measured."""
    from flows.recipes import catalog

    known = catalog.costs().get("detectors", {})
    return [
        {
            "detector": name,
            "what": catalog.first_line(config),
            "encoder": type(catalog.default_encoder(config())).__module__.rpartition(".")[2],
            **known.get(name, {}),
        }
        for name, config in catalog.detectors().items()
    ]


def detector_table() -> RenderableType:
    """The same for people."""
    from flows.recipes import catalog

    table = table_of("detector", "what", "encoder", "fit", "score")
    for row in detector_rows():
        seconds = [f"{row[key]:.3g} s" if key in row else "-" for key in ("fit_s", "score_s")]
        if "over_s" in row:
            seconds[0] = f"> {row['over_s']:.0f} s"
        table.add_row(row["detector"], row["what"], row["encoder"], *seconds)
    return Group(table, f"Seconds: {catalog.costs().get('what', 'not measured yet')}.")


def dataset_rows() -> list[Row]:
    """Data sets that are here, and those that can be had by name."""
    from tasks.data.ingest import available

    return [
        {"dataset": name, "here": here, "what": description}
        for name, (here, description) in available().items()
    ]


def dataset_table() -> RenderableType:
    """The same for people."""
    table = table_of("data set", "here", "what")
    for row in dataset_rows():
        table.add_row(row["dataset"], "yes" if row["here"] else "", row["what"])
    return table
