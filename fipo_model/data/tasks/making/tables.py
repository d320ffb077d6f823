"""Tasks on small tables, most of them in CSV. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from fipo_model.data.tasks.making.drawing import Make, listed, one, words
from fipo_model.data.tasks.task import Example


@dataclass(frozen=True, slots=True)
class _Table:
    """Three to five articles with a number in stock, a price and a place."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def column(self, name: str) -> list[str]:
        return [row[self.columns.index(name)] for row in self.rows]

    def written(self, separator: str = ",") -> str:
        return "\n".join(separator.join(row) for row in (self.columns, *self.rows))

    def __str__(self) -> str:
        return self.written()


def _table(random: Random) -> _Table:
    count = random.randint(3, 5)
    articles = random.sample([word for word in words("products") if "-" not in word], count)
    stock, prices = (random.sample(range(1, 60), count) for _ in range(2))
    places = random.choices(random.sample(words("cities"), 2), k=count)
    rows = zip(articles, map(str, stock), map(str, prices), places, strict=True)
    return _Table(("article", "stock", "price", "city"), tuple(rows))


def _of_table(solve: Callable[[_Table], object]) -> Make:
    def make(random: Random) -> Example:
        table = _table(random)
        return one(str(table), solve(table))

    return make


def _asked(random: Random, table: _Table) -> tuple[int, str]:
    return random.randrange(len(table.rows)), random.choice(table.columns[1:])


def _cell(random: Random) -> Example:
    table = _table(random)
    row, column = _asked(random, table)
    return one(f"{table}\n\n{column} of {table.rows[row][0]}", table.column(column)[row])


def _row_of_largest(column: str) -> Callable[[_Table], str]:
    return lambda table: max(zip(map(int, table.column(column)), table.column("article"), strict=True))[1]


def _has_article(random: Random) -> Example:
    table = _table(random)
    holds = random.random() < 0.5
    others = [word for word in words("products") if word not in str(table)]
    wanted = random.choice(table.column("article") if holds else others)
    return one(f"{table}\n\n{wanted}", "yes" if holds else "no", choices=("yes", "no"))


def _rows_in_city(random: Random) -> Example:
    table = _table(random)
    city = random.choice(table.column("city"))
    found = [row[0] for row in table.rows if row[3] == city]
    return one(f"{table}\n\n{city}", listed(found))


def _without_column(table: _Table) -> str:
    return str(_Table(table.columns[:-1], tuple(row[:-1] for row in table.rows)))


def _markdown(table: _Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    return "\n".join([line(table.columns), line(["---"] * len(table.columns)), *map(line, table.rows)])


def _column_names(random: Random) -> Example:
    table = _table(random)
    chosen = random.sample(range(4), random.randint(2, 4))
    shown = _Table(
        tuple(table.columns[place] for place in chosen),
        tuple(tuple(row[place] for place in chosen) for row in table.rows),
    )
    return one(str(shown), listed(shown.columns))


def _first_row_as_object(table: _Table) -> str:
    article, stock, price, city = table.rows[0]
    return json.dumps({"article": article, "stock": int(stock), "price": int(price), "city": city})


def _sorted_by_price(table: _Table) -> str:
    return listed([row[0] for row in sorted(table.rows, key=lambda row: int(row[2]))])


MAKERS: Mapping[str, Make] = {
    "table_cell": _cell,
    "table_has_article": _has_article,
    "table_largest_stock": _of_table(_row_of_largest("stock")),
    "table_most_expensive": _of_table(_row_of_largest("price")),
    "table_rows_in_city": _rows_in_city,
    "table_sum_of_stock": _of_table(lambda table: sum(map(int, table.column("stock")))),
    "table_value_of_stock": _of_table(lambda table: sum(int(row[1]) * int(row[2]) for row in table.rows)),
    "table_count_rows": _of_table(lambda table: len(table.rows)),
    "table_column_names": _column_names,
    "table_column_as_list": _of_table(lambda table: listed(table.column("article"))),
    "table_sorted_by_price": _of_table(_sorted_by_price),
    "table_with_semicolons": _of_table(lambda table: table.written(";")),
    "table_drop_last_column": _of_table(_without_column),
    "table_to_markdown": _of_table(_markdown),
    "table_first_row_to_json": _of_table(_first_row_as_object),
}
