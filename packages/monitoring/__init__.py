"""What watches a cluster: rules of Prometheus and a dashboard of Grafana, from one source.  No daemon imports it."""
