"""What stands before the pages: the door of every route, and the route of downloads."""
