"""From raw recordings to a speech dataset: Emilia's pipeline, one model after another, nothing lost or done twice."""
