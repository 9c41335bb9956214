"""JSON on the wire and the frozen types behind it."""
