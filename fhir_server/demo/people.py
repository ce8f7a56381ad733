"""The people of the demo clinic: plausible, and the same from the same seed."""

from dataclasses import dataclass
from random import Random

from faker import Faker

from fhir_server.fhir.types import Json, Resource

TIME_ZONE = "America/New_York"
OTHER_ZONES = ("America/Chicago", "America/Puerto_Rico")
TZ_CODE = "http://hl7.org/fhir/StructureDefinition/tz-code"
SNOMED = "http://snomed.info/sct"
LANGUAGES = {"en": ("English", "en_US"), "es": ("Spanish", "es_MX")}
SPECIALTIES = (
    ("394814009", "General practice"),
    ("394579002", "Cardiology"),
    ("394582007", "Dermatology"),
    ("394537008", "Paediatric specialty"),
    ("310000008", "Accident and emergency"),
    ("394801008", "Trauma and orthopaedics"),
)


@dataclass(frozen=True, slots=True)
class Names:
    """Name generators, one per language, all fed from one seed."""

    by_language: dict[str, Faker]

    @classmethod
    def seeded(cls, seed: int) -> "Names":
        """Generators that give the same names for the same seed."""
        made = {}
        for offset, (code, (_, locale)) in enumerate(LANGUAGES.items()):
            made[code] = Faker(locale)
            made[code].seed_instance(seed + offset)
        return cls(made)

    def person(self, language: str, gender: str) -> tuple[str, str]:
        """A given and a family name."""
        faker = self.by_language[language]
        given = faker.first_name_female() if gender == "female" else faker.first_name_male()
        return given, faker.last_name()


def language(code: str) -> Json:
    """A BCP 47 language as a CodeableConcept."""
    display = LANGUAGES[code][0]
    return {"coding": [{"system": "urn:ietf:bcp:47", "code": code, "display": display}]}


def zone(name: str) -> Json:
    """R4's extension for an IANA time zone."""
    return {"url": TZ_CODE, "valueCode": name}


def specialty(number: int) -> Json:
    """The n-th specialty as a CodeableConcept."""
    code, display = SPECIALTIES[number % len(SPECIALTIES)]
    return {"coding": [{"system": SNOMED, "code": code, "display": display}]}


def patients(seed: int, count: int) -> list[Resource]:
    """Patients with language, time zone, telephone and, mostly, e-mail."""
    random, names = Random(f"patients {seed}"), Names.seeded(seed)
    return [_patient(number, random, names) for number in range(1, count + 1)]


def _patient(number: int, random: Random, names: Names) -> Resource:
    code = "es" if random.random() < 0.3 else "en"
    gender = random.choice(("female", "male"))
    given, family = names.person(code, gender)
    where = TIME_ZONE if random.random() < 0.9 else random.choice(OTHER_ZONES)
    telecom = [
        {"system": "phone", "value": f"+1-555-01{number % 100:02d}", "use": "mobile", "rank": 1}
    ]
    if random.random() < 0.8:
        telecom.append({"system": "email", "value": f"patient{number:03d}@example.org"})
    return {
        "resourceType": "Patient",
        "id": f"demo-patient-{number:03d}",
        "extension": [zone(where)],
        "identifier": [{"system": "urn:oid:2.16.840.1.113883.19.5", "value": f"P{number:05d}"}],
        "active": True,
        "name": [{"use": "official", "family": family, "given": [given]}],
        "telecom": telecom,
        "gender": gender,
        "birthDate": f"{random.randint(1935, 2020)}-{random.randint(1, 12):02d}-"
        f"{random.randint(1, 28):02d}",
        "address": [{"use": "home", "city": "Springfield", "state": "NY", "country": "US"}],
        "communication": [{"language": language(code), "preferred": True}],
        "managingOrganization": {"reference": "Organization/demo-clinic"},
    }


def practitioners(seed: int, count: int) -> list[Resource]:
    """Practitioners who each speak one or both languages."""
    random, names = Random(f"practitioners {seed}"), Names.seeded(seed + 1000)
    made = []
    for number in range(1, count + 1):
        code = "es" if number % 3 == 0 else "en"
        gender = random.choice(("female", "male"))
        given, family = names.person(code, gender)
        made.append(
            {
                "resourceType": "Practitioner",
                "id": f"demo-practitioner-{number}",
                "identifier": [
                    {"system": "http://hl7.org/fhir/sid/us-npi", "value": f"99999000{number:02d}"}
                ],
                "active": True,
                "name": [{"family": family, "given": [given], "prefix": ["Dr."]}],
                "gender": gender,
                "telecom": [{"system": "phone", "value": f"+1-555-02{number:02d}", "use": "work"}],
                "communication": [language(c) for c in dict.fromkeys((code, "en"))],
            }
        )
    return made
