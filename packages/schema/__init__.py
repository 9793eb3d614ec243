"""JSON Schemas of what `ramsterctl -o json` prints, made from the types behind it."""
