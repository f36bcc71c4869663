/*
 * archive.sql
 */
