"""Rented machines: one file per provider, SDK calls only, behind `provider.Provider`."""
