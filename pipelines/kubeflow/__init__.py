"""The line on Kubeflow Pipelines: its graph, this machine's runner, a cluster's definition."""
