"""Who answers: models that are loaded here, and models behind an API."""
