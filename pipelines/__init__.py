"""The production line: a TFX-style pipeline on Kubeflow Pipelines, one task of a stream after the other."""
