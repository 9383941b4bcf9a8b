-- The device that brought a tag first, so that what one device brings has a limit; NULL: from before it was kept.
ALTER TABLE tags ADD COLUMN device INTEGER;
-- A second copy of the words of a tag, as `names` and `channels` have one in their indexes.
CREATE UNIQUE INDEX tags_by_words ON tags (coding, code, quality, attributes);
-- CRC-32 of the columns before it, as `row_checksum` makes it: a page has none. NULL: from before it was kept.
ALTER TABLE devices ADD COLUMN checksum INTEGER;
ALTER TABLE learnt ADD COLUMN checksum INTEGER;
ALTER TABLE presence ADD COLUMN checksum INTEGER;
ALTER TABLE commands ADD COLUMN checksum INTEGER;
ALTER TABLE events ADD COLUMN checksum INTEGER;
ALTER TABLE names ADD COLUMN checksum INTEGER;
ALTER TABLE channels ADD COLUMN checksum INTEGER;
ALTER TABLE tags ADD COLUMN checksum INTEGER;
ALTER TABLE meters ADD COLUMN checksum INTEGER;
ALTER TABLE conflicts ADD COLUMN checksum INTEGER;
ALTER TABLE notes ADD COLUMN checksum INTEGER;
