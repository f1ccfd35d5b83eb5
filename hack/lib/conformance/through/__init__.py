"""Real clients in front of gateway and agent, and real applications behind them."""
