/*
 * retention.sql
 */
