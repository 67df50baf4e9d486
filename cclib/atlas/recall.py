"""Questions of recall: facts of one entity, and comparisons of four."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache

from cclib.atlas.facts import (
    REGIONS,
    SEVERAL_CURRENCIES,
    City,
    Country,
    Fact,
    countries,
    known_cities,
    region_cities,
    state_cities,
    states,
)
from cclib.atlas.reasoning import Item

CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "SA": "South America",
    "OC": "Oceania",
}
# Countries that geographers place on two continents.
TWO_CONTINENTS = set("RU TR EG KZ AZ GE AM CY ID".split())


@cache
def facts() -> list[Fact]:
    """All facts of one entity, by subject."""
    families = (_cities, _states, _capitals, _currencies, _languages, _neighbours, _codes, _continents)
    return [fact for family in families for fact in family()]


def _cities() -> Iterator[Fact]:
    nations = countries()
    for region, label in REGIONS.items():
        places = region_cities(region)
        yield from _located(
            f"cities_of_{label}", "country", places, "", [nations[c.country].name for c in places]
        )


def _states() -> Iterator[Fact]:
    names = states()
    places = [c for c in state_cities() if c.state in names]
    yield from _located("american_states", "state", places, "the state ", [names[c.state] for c in places])


def _located(subject: str, kind: str, places: list[City], told: str, within: list[str]) -> Iterator[Fact]:
    """In which country or state each of the places is."""
    pool = tuple(within)
    for city, name in zip(places, within):
        yield Fact(
            subject=subject,
            question=f"In which {kind} is {city.name}?",
            statement=f"{city.name} is in {told}{name}.",
            answer=name,
            pool=pool,
            popularity=city.population,
            asked_openly=True,
        )


def _near(country: Country) -> list[Country]:
    """Countries of the same continent; for the small continents, of any."""
    near = [c for c in countries().values() if c.region == country.region and c.code != country.code]
    return near if len(near) >= 8 else [c for c in countries().values() if c.code != country.code]


def _capitals() -> Iterator[Fact]:
    for country in countries().values():
        if country.capital in country.name or country.name in country.capital or country.code == "IL":
            continue
        near = [c for c in _near(country) if c.capital != country.capital]
        about = {"subject": "capitals", "popularity": country.population}
        yield Fact(
            question=f"What is the capital of {country.name}?",
            statement=f"The capital of {country.name} is {country.capital}.",
            answer=country.capital,
            pool=tuple(c.capital for c in near if c.capital != c.name),
            asked_openly=True,
            **about,
        )
        yield Fact(
            question=f"Which country has the capital {country.capital}?",
            statement=f"{country.capital} is the capital of {country.name}.",
            answer=country.name,
            pool=tuple(c.name for c in near),
            **about,
        )


def _currencies() -> Iterator[Fact]:
    everywhere = sorted({c.currency for c in countries().values()})
    for country in countries().values():
        if country.code in SEVERAL_CURRENCIES:
            continue
        near = tuple(c.currency for c in _near(country) if c.currency != country.currency)
        rare = tuple(c for c in everywhere if c != country.currency)
        yield Fact(
            subject="currencies",
            question=f"Which currency is used in {country.name}?",
            statement=f"The currency of {country.name} is the {country.currency}.",
            answer=country.currency,
            pool=near if len(set(near)) >= 6 else near + rare,
            popularity=country.population,
            asked_openly=True,
        )


def _languages() -> Iterator[Fact]:
    common = [c.languages[0] for c in countries().values() if c.languages and c.languages[0]]
    for country in countries().values():
        if not country.languages or not country.languages[0]:
            continue
        near = [c.languages[0] for c in _near(country) if c.languages and c.languages[0]]
        yield Fact(
            subject="languages",
            question=f"Which language is spoken in {country.name}?",
            statement=f"The language of {country.name} is {country.languages[0]}.",
            answer=country.languages[0],
            pool=tuple(x for x in near + common if x not in country.languages),
            popularity=country.population,
            asked_openly=True,
        )


def _neighbours() -> Iterator[Fact]:
    nations = countries()
    for country in nations.values():
        beside = [nations[n] for n in country.neighbours if n in nations]
        apart = tuple(c.name for c in _near(country) if c not in beside)
        if len(apart) < 6:  # Brazil borders nearly all of its continent
            apart = tuple(c.name for c in nations.values() if c not in beside and c != country)
        for other in beside:
            yield Fact(
                subject="neighbours",
                question=f"Which country borders {country.name}?",
                statement=f"{country.name} borders {other.name}.",
                answer=other.name,
                pool=apart,
                popularity=min(country.population, other.population),
            )


def _codes() -> Iterator[Fact]:
    nations = list(countries().values())
    dialled = sorted({c.calling_code for c in nations if c.calling_code.isdigit()}, key=int)
    shared = [c.calling_code for c in nations]
    for country in nations:
        about = {"subject": "country_codes", "popularity": country.population}
        code = country.calling_code
        if code in dialled and shared.count(code) == 1:
            at = dialled.index(code)
            near = dialled[max(0, at - 8) : at] + dialled[at + 1 : at + 9]
            yield Fact(
                question=f"What is the calling code of {country.name}?",
                statement=f"The calling code of {country.name} is {code}.",
                answer=code,
                pool=tuple(near),
                **about,
            )
        others = sorted((c.domain for c in nations if c.code != country.code), key=_alike(country.domain))
        yield Fact(
            question=f"What is the internet domain of {country.name}?",
            statement=f"The internet domain of {country.name} is {country.domain}.",
            answer=country.domain,
            pool=tuple(others[:20]),
            **about,
        )


def _alike(domain: str) -> Callable[[str], tuple]:
    """Sort key: domains that share a letter come first."""
    return lambda other: (-len(set(other[1:]) & set(domain[1:])), other)


def _continents() -> Iterator[Fact]:
    nations = countries()
    entities: list[tuple[str, str, int]] = [
        (c.name, c.region, c.population) for c in nations.values() if c.code not in TWO_CONTINENTS
    ]
    middle = known_cities()[::7]
    entities += [(c.name, c.region, c.population) for c in middle if c.country not in TWO_CONTINENTS]
    for name, region, population in entities:
        yield Fact(
            subject="continents",
            question=f"On which continent is {name}?",
            statement=f"{name} is on the continent {CONTINENTS[region]}.",
            answer=CONTINENTS[region],
            pool=tuple(x for code, x in CONTINENTS.items() if code != region),
            popularity=population,
        )


@cache
def _compared_cities() -> list[City]:
    return known_cities()[:500]


def most_people(rng: random.Random) -> Item:
    return _most(rng, "Which city has the most people?", _compared_cities(), lambda c: c.population, 1.3)


def northernmost(rng: random.Random) -> Item:
    """Latitudes are shifted by 90 degrees, so that a ratio of 1.04 is 4 to 6 degrees."""
    return _most(rng, "Which city is farthest north?", _compared_cities(), lambda c: c.latitude + 90, 1.04)


def largest_country(rng: random.Random) -> Item:
    nations = [c for c in countries().values() if c.area > 0]
    if rng.random() < 0.5:
        return _most(rng, "Which country is the largest?", nations, lambda c: c.area, 1.3)
    return _most(rng, "Which country has the most people?", nations, lambda c: c.population, 1.3)


def _most(rng: random.Random, text: str, entities: list, value: Callable, apart: float) -> Item:
    """Four entities of which one is ahead of the next by the factor `apart`."""
    while True:
        four = sorted(rng.sample(entities, 4), key=value, reverse=True)
        if value(four[0]) >= apart * value(four[1]):
            names = [e.name for e in four]
            rarest = min(e.population for e in four)
            return Item(text, names[0], tuple(names[1:]), text + "|".join(sorted(names)), rarest)
