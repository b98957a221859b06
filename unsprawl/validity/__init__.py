"""Does it still work? Live checks that go nowhere they should not, and say only what is proven."""
